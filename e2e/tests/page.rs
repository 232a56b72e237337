//! The page in a browser, through the ingress gateway.

use anyhow::Context;
use ferromesh_e2e::{Skip, Test, run, target_folder};
use std::{env, path::PathBuf, process::Stdio, time::Duration};
use tokio::{process::Command, time::timeout};

use crate::shop::Shop;

/// The names under which systems have a headless browser.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// A browser's start on a busy machine takes most of it.
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_shows_the_stars_that_routes_choose() {
    run("a_browser_shows_the_stars_that_routes_choose", stars).await;
}

async fn stars(test: &Test) -> anyhow::Result<()> {
    let browser = browser().ok_or_else(|| Skip(format!("no browser: install one of {} (make prepare does)", BROWSERS.join(", "))))?;
    let shop = Shop::open(test).await?;
    for (version, colour) in [("v1", None), ("v2", Some("black")), ("v3", Some("red"))] {
        shop.send_all_to(version).await?;
        let picture = target_folder("page")?.join(format!("reviews-{version}.png"));
        let page = render(&browser, &shop.ingress.visitor.url("/productpage"), &picture).await?;
        anyhow::ensure!(page.contains(&format!("data-reviews-version=\"{version}\"")), "not the page with reviews {version}: {page}");
        // The style sheet, before the body, names the colours too.
        let body = page.split_once("<body").context("a page without a body")?.1;
        for other in ["black", "red"] {
            let shown = body.matches(&format!("data-color=\"{other}\"")).count();
            let wanted = if colour == Some(other) { 2 } else { 0 };
            anyhow::ensure!(shown == wanted, "reviews {version} with {shown} reviews in {other} stars, not {wanted}: {page}");
        }
        anyhow::ensure!(picture.metadata().is_ok_and(|picture| picture.len() > 1000), "no picture at {}", picture.display());
        eprintln!("reviews {version}: {}", picture.display());
    }
    Ok(())
}

fn browser() -> Option<PathBuf> {
    let folders: Vec<PathBuf> = env::split_paths(&env::var_os("PATH")?).collect();
    BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|path| path.is_file())
}

/// The page's document after the browser has built it; the picture of it goes to a file.
async fn render(browser: &PathBuf, url: &str, picture: &std::path::Path) -> anyhow::Result<String> {
    let profile = tempfile::tempdir()?;
    let mut command = Command::new(browser);
    command
        // Tests run as root, where there is no sandbox, and nothing but our own page is looked at.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--no-proxy-server"])
        .args(["--window-size=1200,1000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--screenshot={}", picture.display()))
        .arg(url)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await.with_context(|| format!("{} did not end", browser.display()))??;
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{} failed: {errors}", browser.display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
