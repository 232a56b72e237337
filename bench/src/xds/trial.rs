//! One trial: a pilot of its own, so many services and proxies, and the yardstick beside it.

use anyhow::Context;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::time::sleep;

use super::{
    board::Recording,
    canned::Canned,
    fleet::{Fleet, Lap},
    kind::Kind,
    mesh::Mesh,
    pilot::Pilot,
    pki::Authority,
    proxy::Memory as Versions,
};
use crate::process::{Memory, Process};
use crate::statistics::percentile;

/// After each change, so that one is measured and not a queue of them.
const PAUSE: Duration = Duration::from_millis(50);
/// Before memory is read: what is freed a little later is not held.
const REST: Duration = Duration::from_secs(1);

/// What is the same in all trials.
pub(super) struct Setting<'a> {
    pub(super) ferromeshd: &'a Path,
    pub(super) core: u32,
    pub(super) changes: usize,
    pub(super) authority: Arc<Authority>,
}

/// Half of the samples take no longer, and 99 of 100.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quantiles {
    pub(super) p50: Duration,
    pub(super) p99: Duration,
}

/// What changes of one kind cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChangeCost {
    /// From the API server's answer to the first proxy's acknowledgement.
    pub(super) first: Quantiles,
    /// To the last one's.
    pub(super) last: Quantiles,
    /// The server's CPU seconds for each change.
    pub(super) cpu: f64,
    /// Bytes for each change and proxy.
    pub(super) bytes: f64,
}

/// What it costs to configure all proxies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectCost {
    /// Until the last one has everything.
    pub(super) time: Duration,
    /// The server's CPU seconds, of all proxies together.
    pub(super) cpu: f64,
    /// Bytes for each proxy.
    pub(super) bytes: f64,
}

/// What a server costs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs {
    pub(super) connect: ConnectCost,
    pub(super) endpoint: ChangeCost,
    pub(super) route: ChangeCost,
}

/// What a trial found out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) services: usize,
    pub(super) proxies: usize,
    /// From pilot's start until it was ready.
    pub(super) start: Duration,
    pub(super) pilot: Costs,
    pub(super) canned: Costs,
    /// All come back and say which versions they hold.
    pub(super) kept: ConnectCost,
    /// All come back and hold nothing.
    pub(super) lost: ConnectCost,
    /// Pilot's memory before a proxy came, with all of them, and after all that was measured.
    pub(super) empty: Memory,
    pub(super) full: Memory,
    pub(super) used: Memory,
}

// === impl Setting ===

impl Setting<'_> {
    /// Measures the mesh as it is with so many proxies.
    pub(super) async fn run(&self, mesh: &mut Mesh, proxies: usize) -> anyhow::Result<Figures> {
        let services = mesh.services();
        eprintln!("ferromesh-bench: {services} services, {proxies} proxies");
        let pilot = Pilot::start(self.ferromeshd, self.core, &self.authority).await?;
        sleep(REST).await;
        let (server, empty) = (&pilot.process, pilot.process.memory()?);
        let mut fleet = Fleet::new(pilot.address, &self.authority, proxies)?;
        let configured = connect(&mut fleet, server, Versions::Kept).await.context("pilot")?;
        let answers = fleet.recording();
        sleep(REST).await;
        let full = server.memory()?;

        let (endpoint, endpoint_forms) =
            self.changes(&mut fleet, server, Kind::Endpoints, async || mesh.change_endpoint().await).await.context("pilot")?;
        let routes = routes_in(&answers);
        let (route, route_forms) = self.changes(&mut fleet, server, routes, async || mesh.change_route().await).await.context("pilot")?;

        let kept = connect(&mut fleet, server, Versions::Kept).await.context("pilot")?;
        let lost = connect(&mut fleet, server, Versions::Lost).await.context("pilot")?;
        sleep(REST).await;
        let used = server.memory()?;
        let start = pilot.start;
        drop((fleet, pilot));
        let forms = [(Kind::Endpoints, endpoint_forms), (routes, route_forms)].into();
        let canned = Canned::start(self.core, &self.authority, &answers, &forms)?;
        let canned = self.yardstick(canned, proxies, routes).await.context("the server of canned bytes")?;
        let pilot = Costs { connect: configured, endpoint, route };
        Ok(Figures { services, proxies, start, pilot, canned, kept, lost, empty, full, used })
    }

    /// The same proxies and the same bytes, without pilot's work.
    async fn yardstick(&self, mut canned: Canned, proxies: usize, routes: Kind) -> anyhow::Result<Costs> {
        let mut fleet = Fleet::new(canned.address, &self.authority, proxies)?;
        let connect = connect(&mut fleet, &canned.process, Versions::Kept).await?;
        let Canned { process, pushes, .. } = &mut canned;
        let (endpoint, _) = self.changes(&mut fleet, process, Kind::Endpoints, async || pushes.push(Kind::Endpoints)).await?;
        let (route, _) = self.changes(&mut fleet, process, routes, async || pushes.push(routes)).await?;
        Ok(Costs { connect, endpoint, route })
    }

    /// Makes changes one after another; returns what they cost and the last two messages that a proxy was sent about them.
    async fn changes(
        &self,
        fleet: &mut Fleet,
        server: &Process,
        kind: Kind,
        mut change: impl AsyncFnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<(ChangeCost, [Vec<u8>; 2])> {
        // The first one warms what is cold: no sample.
        fleet.change(kind, change()).await?;
        sleep(PAUSE).await;
        let (mut laps, mut messages) = (Vec::new(), [Vec::new(), Vec::new()]);
        let before = server.cpu_seconds()?;
        for _ in 0..self.changes {
            laps.push(fleet.change(kind, change()).await?);
            messages.rotate_left(1);
            messages[1] = fleet.recording().remove(kind.type_url()).unwrap_or_default();
            sleep(PAUSE).await;
        }
        Ok((ChangeCost::of(&laps, server.cpu_seconds()? - before), messages))
    }
}

/// The kind of resource that a changed route is sent in: by itself, where the server sends hosts apart from their tables.
fn routes_in(answers: &Recording) -> Kind {
    if answers.contains_key(Kind::Hosts.type_url()) { Kind::Hosts } else { Kind::Routes }
}

async fn connect(fleet: &mut Fleet, server: &Process, versions: Versions) -> anyhow::Result<ConnectCost> {
    let before = server.cpu_seconds()?;
    let lap = fleet.connect(versions).await?;
    Ok(ConnectCost { time: lap.last, cpu: server.cpu_seconds()? - before, bytes: lap.bytes })
}

// === impl ChangeCost ===

impl ChangeCost {
    /// Of all laps together; there must be at least one.
    fn of(laps: &[Lap], cpu: f64) -> Self {
        let quantiles = |of: fn(&Lap) -> Duration| {
            let mut samples: Vec<_> = laps.iter().map(of).collect();
            Quantiles { p50: percentile(&mut samples, 0.5), p99: percentile(&mut samples, 0.99) }
        };
        let count: f64 = laps.iter().map(|_| 1.0).sum();
        let bytes = laps.iter().map(|lap| lap.bytes).sum::<f64>() / count;
        Self { first: quantiles(|lap| lap.first), last: quantiles(|lap| lap.last), cpu: cpu / count, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_those_of_one_change() {
        let lap = |milliseconds, bytes| Lap { first: Duration::from_millis(1), last: Duration::from_millis(milliseconds), bytes };
        let laps: Vec<_> = (1..=100).map(|number| lap(number, 1000.0)).collect();
        let cost = ChangeCost::of(&laps, 2.0);
        assert_eq!(
            (cost.last.p50, cost.last.p99, cost.first.p99),
            (Duration::from_millis(51), Duration::from_millis(100), Duration::from_millis(1))
        );
        assert!((cost.cpu - 0.02).abs() < 1e-9 && (cost.bytes - 1000.0).abs() < 1e-9);
    }
}
