//! The same rules for kernels without nf_tables: text for `iptables-restore` and `ip6tables-restore`.
//!
//! They stand in chains of our own, which the kernel's are made to lead to. Whatever else is in the tables stays.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    process::{Command, Stdio},
};

use super::{
    apply::RedirectError,
    rule::{Action, Chain, Hook, Match, Rule, Stage},
};

/// An address family: each has a program of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `iptables-restore`.
    V4,
    /// `ip6tables-restore`.
    V6,
}

/// What begins the names of our chains.
const CHAIN: &str = "FERROMESH";

/// The file that the programs lock against each other, and the variable that names another one.
const LOCK: &str = "/run/xtables.lock";
const LOCK_VARIABLE: &str = "XTABLES_LOCKFILE";
/// Where a container without a writable disk still has one.
const LOCK_IN_MEMORY: &str = "/dev/shm/xtables.lock";

/// Puts the rules of both families in place.
pub(super) fn restore(chains: &[Chain]) -> Result<(), RedirectError> {
    for family in [Family::V4, Family::V6] {
        let mut chains = chains.to_vec();
        for (stage, hook) in [Stage::Raw, Stage::Mangle].into_iter().flat_map(|stage| [(stage, Hook::Prerouting), (stage, Hook::Output)]) {
            // What an earlier call had to do there is over.
            let wanted = chains.iter().any(|chain| (chain.stage, chain.hook) == (stage, hook));
            if !wanted && family.knows(stage, &["--list-rules", &ours(hook)])? {
                chains.push(Chain { stage, hook, rules: Vec::new() });
            }
        }
        let mut missing = Vec::new();
        for chain in &chains {
            if !family.knows(chain.stage, &["--check", kernels(chain.hook), "--jump", &ours(chain.hook)])? {
                missing.push((chain.stage, chain.hook));
            }
        }
        feed(family.restore(), &restore_input(&chains, family, |chain| missing.contains(&(chain.stage, chain.hook))))?;
    }
    Ok(())
}

/// What the restoring program of a family reads with `--noflush`. `leads` says whether the kernel's own chain is to be made to lead to one of
/// ours, which it must be told once.
pub fn restore_input(chains: &[Chain], family: Family, leads: impl Fn(&Chain) -> bool) -> String {
    let mut text = String::new();
    for stage in [Stage::Raw, Stage::Mangle, Stage::Nat] {
        let of_stage: Vec<&Chain> = chains.iter().filter(|chain| chain.stage == stage).collect();
        if of_stage.is_empty() {
            continue;
        }
        // Writing to a text can't fail.
        let _ = writeln!(text, "*{}", stage.name());
        for chain in &of_stage {
            let _ = writeln!(text, ":{} - [0:0]", ours(chain.hook));
        }
        for chain in of_stage {
            if leads(chain) {
                let _ = writeln!(text, "-A {} -j {}", kernels(chain.hook), ours(chain.hook));
            }
            for line in chain.rules.iter().flat_map(|rule| lines(rule, family)) {
                let _ = writeln!(text, "-A {} {line}", ours(chain.hook));
            }
        }
        let _ = writeln!(text, "COMMIT");
    }
    text
}

/// The kernel's own chain.
fn kernels(hook: Hook) -> &'static str {
    match hook {
        Hook::Prerouting => "PREROUTING",
        Hook::Output => "OUTPUT",
    }
}

fn ours(hook: Hook) -> String {
    format!("{CHAIN}_{}", kernels(hook))
}

/// A rule in iptables' words; none where it is for the other family.
fn lines(rule: &Rule, family: Family) -> Vec<String> {
    let Some(matches) = rule.matches.iter().map(|property| words(property, family)).collect::<Option<Vec<_>>>() else { return Vec::new() };
    // A protocol may be named once, and before what belongs to it.
    let protocol = rule.matches.iter().find_map(|property| match property {
        Match::Tcp | Match::Opening | Match::Port(_) => Some("-p tcp"),
        Match::UdpPort(_) | Match::UdpSourcePort(_) => Some("-p udp"),
        _ => None,
    });
    let matches = protocol.map(str::to_owned).into_iter().chain(matches).filter(|words| !words.is_empty());
    let matches = matches.collect::<Vec<_>>().join(" ");
    let line = |target: &str| format!("{matches} -j {target}").trim_start().to_owned();
    match rule.action {
        Action::Pass => vec![line("RETURN")],
        Action::Drop => vec![line("DROP")],
        Action::Redirect(port) => vec![line(&format!("REDIRECT --to-ports {port}"))],
        // What belongs to no socket that takes such packets is dropped there, answers to the application's own calls among it.
        Action::Give { port, mark } => vec![
            format!("{matches} -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"),
            line(&format!("TPROXY --on-port {port} --tproxy-mark {mark}/0xffffffff")),
        ],
        Action::SaveMark => vec![line("CONNMARK --save-mark")],
        Action::RestoreMark => vec![line("CONNMARK --restore-mark")],
        Action::Zone(zone) => vec![line(&format!("CT --zone {zone}"))],
    }
}

/// A property; none where it can't hold in the family.
fn words(property: &Match, family: Family) -> Option<String> {
    let own = |range: &ipnet::IpNet| range.addr().is_ipv4() == (family == Family::V4);
    Some(match property {
        Match::Tcp => String::new(),
        Match::Opening => "-m tcp --tcp-flags SYN,ACK SYN".to_owned(),
        Match::From(interface) => format!("-i {interface}"),
        Match::To(interface) => format!("-o {interface}"),
        Match::User(id) => format!("-m owner --uid-owner {id}"),
        Match::Group(id) => format!("-m owner --gid-owner {id}"),
        Match::NotGroup(id) => format!("-m owner ! --gid-owner {id}"),
        Match::Source(range) => own(range).then(|| format!("-s {range}"))?,
        Match::Destination(range) => own(range).then(|| format!("-d {range}"))?,
        Match::NotDestination(range) => own(range).then(|| format!("! -d {range}"))?,
        Match::Port(port) => format!("-m tcp --dport {port}"),
        Match::UdpPort(port) => format!("-m udp --dport {port}"),
        Match::UdpSourcePort(port) => format!("-m udp --sport {port}"),
        Match::Mark(mark) => format!("-m mark --mark {mark}"),
        Match::ConnectionMark(mark) => format!("-m connmark --mark {mark}"),
    })
}

/// One of the programs, which waits for others of its kind. Where the usual file can't be locked nobody else does so either.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.arg("--wait");
    if OpenOptions::new().append(true).create(true).open(LOCK).is_err() {
        command.env(LOCK_VARIABLE, LOCK_IN_MEMORY);
    }
    command
}

/// Runs a restoring program.
fn feed(program: &'static str, input: &str) -> Result<(), RedirectError> {
    let failed = |source| RedirectError::Program { program, source };
    let mut command = command(program);
    command.arg("--noflush").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // Who ends without reading says why on its way out.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(RedirectError::Iptables { program, message })
}

// === impl Family ===

impl Family {
    fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    fn restore(self) -> &'static str {
        match self {
            Self::V4 => "iptables-restore",
            Self::V6 => "ip6tables-restore",
        }
    }

    /// Whether there is what a question about a table asks for.
    fn knows(self, stage: Stage, question: &[&str]) -> Result<bool, RedirectError> {
        let program = self.program();
        let mut command = command(program);
        command.args(["--table", stage.name()]).args(question);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        Ok(status.map_err(|source| RedirectError::Program { program, source })?.success())
    }
}
