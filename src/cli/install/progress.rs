//! What people are told while something comes about: a line for each change, and every quarter of a minute one that says what is awaited.

use ferromesh_crds::{
    MeshInstall,
    install::{MeshInstallStatus, State},
};
use futures::StreamExt;
use kube::{
    Api, Client,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use std::{collections::BTreeMap, pin::pin, time::Duration};
use tokio::time::{Instant, interval, sleep_until};

use crate::cli::{
    exit::{Exit, Failure},
    terminal::{Streams, harmless},
};
use crate::runtime::causes;

/// How often it is told what is awaited.
const EVERY: Duration = Duration::from_secs(15);
/// How often is asked for what can't be watched.
pub(in crate::cli) const BETWEEN: Duration = Duration::from_millis(500);

/// Tells of progress, with the time since it began.
pub(in crate::cli) struct Progress<'s, 'a> {
    streams: &'s mut Streams<'a>,
    began: Instant,
    deadline: Instant,
    told: Instant,
    /// What to say to who has waited long enough.
    hint: &'static str,
}

/// How a MeshInstall stands to the generation that is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    /// It won't get ready unless somebody changes something.
    Stalled(String),
    /// What it waits for.
    Waiting(String),
}

// === impl Progress ===

impl<'s, 'a> Progress<'s, 'a> {
    /// Begins now. Needs a runtime.
    pub(in crate::cli) fn new(streams: &'s mut Streams<'a>, longest: Duration) -> Self {
        let began = Instant::now();
        let hint = "it goes on in the cluster: kubectl get meshinstall";
        Self { streams, began, deadline: began + longest, told: began, hint }
    }

    /// The same with another word for who has waited long enough.
    pub(in crate::cli) fn hinting(self, hint: &'static str) -> Self {
        Self { hint, ..self }
    }

    /// Tells of a change.
    pub(in crate::cli) fn tell(&mut self, line: &str) {
        let seconds = self.began.elapsed().as_secs_f64();
        self.streams.note(&format!("{seconds:>5.1}s  {}", harmless(line)));
        self.told = Instant::now();
    }

    /// The same once in a while; an error once the time is up.
    ///
    /// # Errors
    /// That it took too long.
    pub(in crate::cli) fn waiting(&mut self, what: &str) -> Result<(), Failure> {
        if Instant::now() >= self.deadline {
            return Err(self.late(what));
        }
        if self.told.elapsed() >= EVERY {
            self.tell(&format!("waiting for {what}"));
        }
        Ok(())
    }

    fn late(&self, what: &str) -> Failure {
        let seconds = (self.deadline - self.began).as_secs();
        Failure::new(Exit::TimedOut, format_args!("not within {seconds} s: {what}\n  {}", self.hint))
    }

    /// Waits until a MeshInstall of this generation is ready, and of this version, if one is named; tells how its parts get on.
    ///
    /// # Errors
    /// When it can't get ready, is deleted, or takes too long.
    pub(super) async fn until_ready(
        &mut self,
        client: &Client,
        name: &str,
        generation: i64,
        version: Option<&str>,
    ) -> Result<MeshInstall, Failure> {
        let api: Api<MeshInstall> = Api::all(client.clone());
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut events = pin!(watcher(api, config).default_backoff());
        let mut ticks = interval(EVERY);
        ticks.reset();
        let (mut parts, mut awaited) = (BTreeMap::new(), "the operator".to_owned());
        loop {
            let event = tokio::select! {
                Some(event) = events.next() => event,
                _ = ticks.tick() => {
                    self.waiting(&awaited)?;
                    continue;
                }
                () = sleep_until(self.deadline) => return Err(self.late(&awaited)),
            };
            match event {
                Ok(Event::Apply(mesh) | Event::InitApply(mesh)) => {
                    self.changes(&mesh, generation, &mut parts);
                    match standing(&mesh, generation, version) {
                        Standing::Ready => return Ok(mesh),
                        Standing::Stalled(reason) => return Err(Failure::new(Exit::Failed, format_args!("MeshInstall {name}: {reason}"))),
                        Standing::Waiting(what) => awaited = what,
                    }
                }
                Ok(Event::Delete(_)) => return Err(Failure::new(Exit::Failed, format_args!("MeshInstall {name} was deleted meanwhile"))),
                Ok(Event::Init | Event::InitDone) => {}
                Err(error) => awaited = format!("the API server: {}", causes(&error)),
            }
        }
    }

    /// A line for each part whose state has changed.
    fn changes(&mut self, mesh: &MeshInstall, generation: i64, known: &mut BTreeMap<String, State>) {
        let Some(status) = mesh.status.as_ref().filter(|status| status.observed_generation == Some(generation)) else { return };
        for (name, part) in &status.components {
            let state = part.status.unwrap_or(State::None);
            if known.insert(name.clone(), state) == Some(state) {
                continue;
            }
            let message = part.message.as_deref().filter(|message| !message.is_empty()).map(|message| format!(": {message}"));
            let message = message.unwrap_or_default();
            match state {
                State::Healthy => self.tell(&format!("{name} ready")),
                State::Error => self.tell(&format!("{name} fails{message}")),
                State::None | State::Updating | State::Reconciling => self.tell(&format!("{name} not ready yet{message}")),
            }
        }
    }
}

fn standing(mesh: &MeshInstall, generation: i64, version: Option<&str>) -> Standing {
    let nobody = || Standing::Waiting("the operator, which has not seen the MeshInstall yet".to_owned());
    let Some(status) = &mesh.status else { return nobody() };
    if status.observed_generation.is_none_or(|seen| seen < generation) {
        return nobody();
    }
    if let Some(version) = version.filter(|version| status.version.as_deref() != Some(version)) {
        // Where the new one comes up beside the old, its own condition says what is awaited.
        let awaited = condition(status, "Ready").filter(|(ready, _)| !ready).map(|(_, message)| message);
        return Standing::Waiting(awaited.unwrap_or_else(|| format!("the operator to go on to version {version}")));
    }
    match (condition(status, "Ready"), condition(status, "Stalled")) {
        (Some((true, _)), _) => Standing::Ready,
        (_, Some((true, message))) => Standing::Stalled(message),
        (Some((false, message)), _) => Standing::Waiting(message),
        (None, _) => Standing::Waiting("its condition Ready".to_owned()),
    }
}

fn condition(status: &MeshInstallStatus, type_: &str) -> Option<(bool, String)> {
    let found = status.conditions.iter().find(|condition| condition.type_ == type_)?;
    Some((found.status == "True", format!("{}, {}", found.reason, found.message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn mesh(observed: i64, conditions: serde_json::Value) -> MeshInstall {
        let status = json!({"observedGeneration": observed, "conditions": conditions});
        let object = json!({"apiVersion": "install.ferromesh.dev/v1alpha1", "kind": "MeshInstall", "metadata": {"name": "mesh"}, "spec": {}, "status": status});
        serde_json::from_value(object).unwrap()
    }

    fn is(type_: &str, status: &str) -> serde_json::Value {
        json!({"type": type_, "status": status, "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn only_the_generation_that_is_awaited_counts() {
        assert_eq!(standing(&mesh(2, json!([is("Ready", "True")])), 2, None), Standing::Ready);
        assert!(matches!(standing(&mesh(1, json!([is("Ready", "True")])), 2, None), Standing::Waiting(_)));
        assert!(matches!(standing(&mesh(1, json!([is("Stalled", "True")])), 2, None), Standing::Waiting(_)));
    }

    #[test]
    fn a_version_that_is_awaited_has_to_come() {
        let mut mesh = mesh(2, json!([is("Ready", "True")]));
        assert!(matches!(standing(&mesh, 2, Some("1.1.0")), Standing::Waiting(_)));
        let comes = self::mesh(2, json!([is("Ready", "False")]));
        assert_eq!(standing(&comes, 2, Some("1.1.0")), Standing::Waiting("R, m".to_owned()), "what keeps it");
        mesh.status.as_mut().unwrap().version = Some("1.1.0".to_owned());
        assert_eq!(standing(&mesh, 2, Some("1.1.0")), Standing::Ready);
    }

    #[test]
    fn what_is_stalled_is_not_waited_for() {
        assert_eq!(standing(&mesh(2, json!([is("Ready", "False"), is("Stalled", "True")])), 2, None), Standing::Stalled("R, m".to_owned()));
        assert_eq!(standing(&mesh(2, json!([is("Ready", "False")])), 2, None), Standing::Waiting("R, m".to_owned()));
    }
}
