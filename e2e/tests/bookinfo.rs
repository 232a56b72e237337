//! Istio 1.4's bookinfo: every file as it is, routed as its documentation says.

use ferromesh_e2e::{Test, run, within};

use crate::shop::{ROUTED, Shop, Versions, sign_in};

/// Visits by which shares are judged: a share then strays by less than two points in most runs, and never by [`TOLERANCE`].
const VISITS: usize = 1000;
/// By how many points of a hundred a share may stray.
const TOLERANCE: f64 = 6.0;

#[tokio::test(flavor = "multi_thread")]
async fn istio_1_4_samples_route_unmodified() {
    run("istio_1_4_samples_route_unmodified", routes).await;
}

pub(crate) async fn routes(test: &Test) -> anyhow::Result<()> {
    let shop = Shop::open_1_4(test).await?;
    let apply = async |name: &str| test.cluster.apply_file(&shop.namespace, &Shop::file_1_4(name)?).await;

    let unrouted = shop.versions(60, &[]).await?;
    anyhow::ensure!(unrouted.len() == 3, "without rules every version answers: {unrouted:?}");

    apply("virtual-service-all-v1").await?;
    shop.until_all_see("v1", &[]).await?;
    expect_alone(&shop.versions(100, &[]).await?, "v1")?;

    apply("virtual-service-reviews-test-v2").await?;
    let cookie = sign_in(&shop, "jason").await?;
    shop.until_all_see("v2", &[("cookie", &cookie)]).await?;
    expect_alone(&shop.versions(100, &[]).await?, "v1")?;
    let mary = sign_in(&shop, "mary").await?;
    expect_alone(&shop.versions(20, &[("cookie", &mary)]).await?, "v1")?;

    apply("virtual-service-reviews-50-v3").await?;
    expect_shares(&shop, [("v1", 50.0), ("v3", 50.0)]).await?;
    apply("virtual-service-reviews-80-20").await?;
    expect_shares(&shop, [("v1", 80.0), ("v2", 20.0)]).await?;

    apply("virtual-service-reviews-v3").await?;
    shop.until_all_see("v3", &[]).await
}

fn expect_alone(seen: &Versions, version: &str) -> anyhow::Result<()> {
    anyhow::ensure!(seen.keys().eq([version]), "only {version} should be seen: {seen:?}");
    Ok(())
}

async fn expect_shares(shop: &Shop, shares: [(&str, f64); 2]) -> anyhow::Result<()> {
    let routed = || shares.iter().map(|(version, _)| *version);
    within(ROUTED, &format!("{shares:?} are seen"), async || {
        let seen = shop.versions(40, &[]).await?;
        anyhow::ensure!(seen.keys().map(String::as_str).eq(routed()), "{seen:?}");
        Ok(())
    })
    .await?;
    let seen = shop.versions(VISITS, &[]).await?;
    eprintln!("wanted {shares:?} percent, seen {seen:?}");
    anyhow::ensure!(seen.keys().map(String::as_str).eq(routed()), "others answered too: {seen:?}");
    for (version, wanted) in shares {
        let share = u32::try_from(seen[version]).map(f64::from)? * 100.0 / 1000.0;
        anyhow::ensure!((share - wanted).abs() <= TOLERANCE, "{version} got {share} %, not {wanted} %");
    }
    Ok(())
}
