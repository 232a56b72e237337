//! The command line about an installation: that what it says of a mesh is so.

use anyhow::Context;
use ferromesh_e2e::{CONTROL_PLANE, Test, run, within};
use serde_json::Value;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_finds_a_mesh_that_is_well() {
    run("the_command_line_finds_a_mesh_that_is_well", well).await;
}

async fn well(test: &Test) -> anyhow::Result<()> {
    test.mesh.healthy().await?;
    let cluster = &test.cluster;
    within(Duration::from_secs(60), "all objects are as applied", async || {
        let said = cluster.ferromesh(&["verify-install"]).await?;
        anyhow::ensure!(said.code == Some(0), "{}{}", said.out, said.err);
        Ok(())
    })
    .await?;

    // A manifest made offline, for the hub and tag that the tests' images have.
    let install = test.mesh.install().await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("mesh.yaml");
    let mesh = serde_json::json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall",
        "metadata": {"name": "mesh"}, "spec": install.spec});
    std::fs::write(&file, mesh.to_string())?;
    let said = cluster.ferromesh(&["images", "--digests", "-o", "json", "-f", &file.display().to_string()]).await?.checked()?;
    let images: Vec<Value> = serde_json::from_str(&said).with_context(|| said.clone())?;
    anyhow::ensure!(images.iter().any(|row| row["usedBy"].to_string().contains("istio-pilot")), "{said}");

    let said = cluster.ferromesh(&["check", "-o", "json"]).await?;
    let document: Value = serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))?;
    let checks = document["checks"].as_array().context("no checks")?;
    anyhow::ensure!(checks.len() > 40, "{} checks", checks.len());
    // An administrator may read all that checks look at.
    let skipped: Vec<&Value> = checks.iter().filter(|check| !check["skipped"].is_null()).collect();
    anyhow::ensure!(skipped.is_empty(), "skipped: {skipped:?}");
    let errors: Vec<&Value> = checks
        .iter()
        .filter(|check| check["findings"].as_array().is_some_and(|all| all.iter().any(|one| one["level"] == "Error")))
        .collect();
    anyhow::ensure!(errors.is_empty() && said.code == Some(0), "{errors:?}");

    let version = cluster.ferromesh(&["version"]).await?.checked()?;
    anyhow::ensure!(version.contains("mesh mesh: ") && version.contains("data plane version: "), "{version}");
    let dry = cluster.ferromesh(&["uninstall", "--dry-run"]).await?.checked()?;
    anyhow::ensure!(dry.contains(&format!("Deployment {CONTROL_PLANE}/istio-pilot")), "{dry}");
    Ok(())
}
