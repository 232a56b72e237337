//! From a refused resource, or a panic of the compiler, to the object at fault.
//!
//! The objects that shaped the part are known. Which of them is at fault is found by compiling without one and another, in a fork of the
//! compiler; whether that mends it, the refusing proxy itself says, which is given the attempt and nobody else. Of a panic the fork tells.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    sync::Arc,
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::{HubTask, Metrics, News, Problems, Question, Update};
use crate::compile::{Compiled, Compiler, Proxy, Resource, ResourceType};
use crate::config::clipped;
use crate::model::{Change, Changes, ObjectRef, Snapshot};
use crate::pilot::{
    metrics::short_name,
    problems::Problem,
    quarantine::{Inquiry, Move, Next, Quarantine},
    reports::{Accuser, FormKey, Refusal, form_key},
};

/// How long a proxy may take to say whether it takes an attempt. One that is alive does within milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest quotation of a proxy's or a panic's words, in characters.
const QUOTED: usize = 180;

/// The topic of these problems.
const TOPIC: &str = "blame";

/// Who is at fault, and who is suspected.
#[derive(Debug)]
pub(super) struct Blame {
    quarantine: Quarantine,
    problems: Problems,
    metrics: Metrics,
    /// How often an object was withheld.
    pub(super) withheld: u64,
    waiting: VecDeque<Refusal>,
    trial: Option<Trial>,
    questions: u64,
    /// Parts on which the compiler fails whatever is withheld, until some object changes.
    hopeless: BTreeSet<Arc<str>>,
    /// Refusals after which nothing was withheld, with the object at fault if there is one, until some object changes.
    closed: BTreeMap<FormKey, Option<Move>>,
}

/// A refusal that is being looked into, by asking its first accuser.
#[derive(Debug)]
struct Trial {
    refusal: Refusal,
    inquiry: Inquiry,
    /// Forms that the proxy is known not to take.
    refused: BTreeSet<u64>,
    /// The number of the question that is being asked, and the form that it is about.
    asked: Option<(u64, FormKey)>,
    deadline: Instant,
}

// === impl Blame ===

impl Blame {
    pub(super) fn new(problems: Problems, metrics: Metrics) -> Self {
        Self {
            quarantine: Quarantine::default(),
            problems,
            metrics,
            withheld: 0,
            waiting: VecDeque::new(),
            trial: None,
            questions: 0,
            hopeless: BTreeSet::new(),
            closed: BTreeMap::new(),
        }
    }

    /// Takes the cluster's next snapshot; returns what is to be compiled instead.
    pub(super) fn advance(&mut self, snapshot: Arc<Snapshot>, changes: Changes) -> (Arc<Snapshot>, Changes) {
        if changes.iter().any(|change| matches!(change, Change::Config(_) | Change::Service(_) | Change::Mesh)) {
            self.hopeless.clear();
            self.closed.clear();
        }
        // What is being looked into may have changed. If it is still refused, it is looked into again.
        let changed = |trial: &Trial| {
            let sources = &trial.refusal.resource.sources;
            changes.iter().any(|change| matches!(change, Change::Config(object) if sources.contains(object)))
        };
        if self.trial.as_ref().is_some_and(changed)
            && let Some(trial) = self.trial.take()
        {
            self.waiting.push_front(trial.refusal);
        }
        let (snapshot, changes, fewer) = self.quarantine.advance(snapshot, changes);
        if fewer {
            self.tell();
        }
        (snapshot, changes)
    }

    /// Whether that subscriber is just being asked something.
    pub(super) fn asks(&self, subscriber: u64) -> bool {
        self.trial.as_ref().and_then(Trial::asked).is_some_and(|accuser| accuser.subscriber == subscriber)
    }

    /// Returns when a proxy has been asked for long enough.
    pub(super) async fn out_of_patience(&self) {
        match &self.trial {
            Some(trial) => sleep_until(trial.deadline).await,
            None => pending().await,
        }
    }

    /// Finds the object on which the compiler failed for a proxy, and withholds it. Returns whether there was one.
    pub(super) fn mend(&mut self, compiler: &mut Compiler, compiled: &Compiled, proxy: &Proxy) -> bool {
        let failures: Vec<_> = compiled.failures().filter(|failure| !self.hopeless.contains(&failure.part)).cloned().collect();
        for failure in failures {
            self.metrics.failed_internally();
            let mut inquiry = self.quarantine.inquire(&failure.sources, true);
            loop {
                match self.quarantine.next(&inquiry) {
                    Next::Verdict(mesh, changes) => {
                        let imagined = compiler.fork(mesh, &changes).compile(proxy);
                        inquiry.tell(!imagined.failures().any(|other| other.part == failure.part));
                    }
                    Next::Culprit(culprit) => {
                        let what = format!("the compiler fails on it ({}: {})", failure.part, clipped(&failure.message, QUOTED));
                        tracing::error!(object = %culprit.object, part = &*failure.part, error = &*failure.message, "the compiler failed");
                        self.withhold(compiler, culprit, "CompilerFailed", &what);
                        return true;
                    }
                    Next::Nobody => break,
                }
            }
            tracing::error!(part = &*failure.part, error = &*failure.message, "the compiler failed, and no object is at fault");
            self.hopeless.insert(failure.part.clone());
        }
        false
    }

    fn withhold(&mut self, compiler: &mut Compiler, culprit: Move, reason: &'static str, what: &str) {
        let served = if culprit.is_absence() { "the mesh goes on without it" } else { "its last good form stays in force" };
        tracing::warn!(object = %culprit.object, reason, served, "object withheld from proxies");
        let problem = Problem { reason, message: format!("{what}; {served}") };
        let (snapshot, changes) = self.quarantine.withhold(culprit, problem);
        compiler.advance(snapshot, &changes);
        self.withheld += 1;
        self.tell();
    }

    fn tell(&self) {
        let problems = self.quarantine.problems();
        self.metrics.set_objects_at_fault(problems.len());
        self.problems.set(TOPIC, problems);
    }

    /// Judges the object that a proxy's refusal led to. Returns whether it is withheld.
    fn convict(&mut self, compiler: &mut Compiler, culprit: Move, refusal: &Refusal) -> bool {
        let Some(accuser) = refusal.accusers.first() else { return false };
        let (kind, name) = (short_name(refusal.resource.kind), &*refusal.resource.name);
        let words = clipped(&refusal.message, QUOTED);
        let what = format!("proxy {} refused {kind} {name}, which it shapes: {words}", accuser.proxy);
        if self.may_accuse(&culprit.object, refusal, &what) {
            self.withhold(compiler, culprit, "RefusedByProxy", &what);
            return true;
        }
        tracing::warn!(object = %culprit.object, proxy = accuser.proxy, "object at fault; proxies that refuse it keep what they have");
        self.tell();
        false
    }

    /// Whether an object is withheld from all when these proxies refuse it. A workload's proxy is in its owner's hands: on its word alone
    /// nobody else loses what is not of its own namespace.
    fn may_accuse(&mut self, object: &ObjectRef, refusal: &Refusal, what: &str) -> bool {
        let root = self.quarantine.root_namespace();
        if refusal.accusers.iter().any(|accuser| accuser.namespace == object.namespace || &*accuser.namespace == root) {
            return true;
        }
        let message = format!("{what}; that proxy keeps what it has");
        let mut several = false;
        for accuser in &refusal.accusers {
            several |= self.quarantine.tolerate(object, &accuser.namespace, Problem { reason: "RefusedByProxy", message: message.clone() });
        }
        several
    }
}

// === impl Trial ===

impl Trial {
    /// Who is being asked.
    fn asked(&self) -> Option<&Accuser> {
        self.refusal.accusers.first().filter(|_| self.asked.is_some())
    }

    /// What is known of a form without asking: whether the proxy takes it.
    fn known(&self, resource: Option<&Arc<Resource>>) -> Option<bool> {
        match resource.map(|resource| resource.hash) {
            None => Some(true),
            Some(hash) if self.refusal.held == Some(hash) => Some(true),
            Some(hash) if self.refused.contains(&hash) => Some(false),
            Some(_) => None,
        }
    }
}

// === impl HubTask ===

impl HubTask {
    /// Takes in what sessions report.
    pub(super) async fn hear(&mut self, mut news: News) {
        let blame = &mut self.blame;
        let mut answered = false;
        if let Some(trial) = &mut blame.trial
            && let Some((question, form)) = &trial.asked
        {
            if news.refusals.remove(form).is_some() {
                trial.refused.insert(form.2);
            }
            let subscriber = trial.refusal.accusers.first().map(|accuser| accuser.subscriber);
            if news.answered.is_some_and(|(by, number)| Some(by) == subscriber && number == *question) {
                let taken = !trial.refused.contains(&form.2);
                trial.inquiry.tell(taken);
                answered = true;
            }
        }
        // A secret that a proxy can't use is its owner's to mend: the object that names it is not at fault for what is in it.
        blame.waiting.extend(news.refusals.into_values().filter(|refusal| refusal.resource.kind != ResourceType::Secret));
        if answered {
            self.go_on().await;
        }
        self.next_case().await;
    }

    /// Asks another proxy in place of one that does not answer.
    pub(super) async fn ask_another(&mut self) {
        if let Some(mut trial) = self.blame.trial.take() {
            let silent = trial.refusal.accusers.remove(0);
            tracing::debug!(proxy = silent.proxy, "proxy does not say whether it takes an attempt");
            if !trial.refusal.accusers.is_empty() {
                self.blame.waiting.push_front(trial.refusal);
            }
            self.publish_to(silent.subscriber);
        }
        self.next_case().await;
    }

    /// Takes up the next refusal that still matters.
    pub(super) async fn next_case(&mut self) {
        while self.blame.trial.is_none()
            && let Some(mut refusal) = self.blame.waiting.pop_front()
        {
            refusal.accusers.retain(|accuser| self.subscribers.get(&accuser.subscriber).is_some_and(|it| !it.publish.is_closed()));
            let Some(subscriber) = refusal.accusers.first().and_then(|first| self.subscribers.get(&first.subscriber)) else { continue };
            let (proxy, key) = (subscriber.proxy.clone(), form_key(&refusal.resource));
            let compiled = self.compile(&proxy, None);
            let current = compiled.as_ref().and_then(|compiled| compiled.get(key.0, &key.1));
            if current.is_none_or(|resource| resource.hash != key.2) {
                continue;
            }
            if let Some(culprit) = self.blame.closed.get(&key).cloned() {
                self.reopen(culprit, &refusal).await;
                continue;
            }
            let inquiry = self.blame.quarantine.inquire(&refusal.resource.sources, false);
            let (refused, deadline) = (BTreeSet::from([key.2]), Instant::now() + PATIENCE);
            self.blame.trial = Some(Trial { refusal, inquiry, refused, asked: None, deadline });
            self.go_on().await;
        }
    }

    /// One more proxy refuses what was looked into already: on several proxies' word more may be done than on one's.
    async fn reopen(&mut self, culprit: Option<Move>, refusal: &Refusal) {
        if let (Some(culprit), Some(compiler)) = (culprit, &mut self.compiler)
            && self.blame.convict(compiler, culprit, refusal)
        {
            self.distribute().await;
        }
    }

    /// Goes on with the trial until its proxy has to be asked, or it is over.
    async fn go_on(&mut self) {
        let (Some(mut trial), Some(compiler)) = (self.blame.trial.take(), &mut self.compiler) else { return };
        let accused = trial.refusal.accusers.first().and_then(|first| self.subscribers.get(&first.subscriber));
        let Some(subscriber) = accused else {
            return self.blame.waiting.push_front(trial.refusal);
        };
        let (kind, name) = (trial.refusal.resource.kind, trial.refusal.resource.name.clone());
        let key = form_key(&trial.refusal.resource);
        let withheld = loop {
            match self.blame.quarantine.next(&trial.inquiry) {
                Next::Verdict(mesh, changes) => {
                    let compiled = compiler.fork(mesh, &changes).compile(&subscriber.proxy);
                    let resource = compiled.get(kind, &name).cloned();
                    if let Some(taken) = trial.known(resource.as_ref()) {
                        trial.inquiry.tell(taken);
                        continue;
                    }
                    self.blame.questions += 1;
                    let number = self.blame.questions;
                    trial.asked = resource.map(|resource| (number, form_key(&resource)));
                    trial.deadline = Instant::now() + PATIENCE;
                    let question = Some(Question { number, kind, name });
                    let (version, taken) = (self.version, self.taken);
                    subscriber.publish.send_replace(Some(Update { compiled, version, taken, question }));
                    self.blame.trial = Some(trial);
                    return;
                }
                Next::Culprit(culprit) => {
                    self.blame.closed.insert(key, Some(culprit.clone()));
                    break self.blame.convict(compiler, culprit, &trial.refusal);
                }
                Next::Nobody => {
                    unexplained(&trial.refusal);
                    self.metrics.failed_internally();
                    self.blame.closed.insert(key, None);
                    break false;
                }
            }
        };
        match withheld {
            true => self.distribute().await,
            // Back from the attempts.
            false => trial.refusal.accusers.iter().take(1).for_each(|accuser| self.publish_to(accuser.subscriber)),
        }
    }
}

fn unexplained(refusal: &Refusal) {
    let (kind, resource, error) = (short_name(refusal.resource.kind), &*refusal.resource.name, &*refusal.message);
    tracing::error!(kind, resource, error, "no object is at fault for what a proxy refuses; it keeps what it has");
}
