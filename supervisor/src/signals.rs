//! What wakes the supervisor: signals, something to read, and time.

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use signal_hook::{
    consts::{SIGCHLD, SIGINT, SIGTERM},
    low_level::pipe,
};
use std::{
    ffi::c_int,
    io::{self, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    time::{Duration, Instant},
};

/// Signals, as they arrive: each writes a byte into a pipe of its own. They are handled rather than blocked, because a child would start with
/// the same ones blocked.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: UnixStream,
    interrupt: UnixStream,
    child: UnixStream,
}

/// What has come.
#[derive(Debug)]
pub(crate) struct Woken {
    /// The names of the signals to end, each as often as it came.
    pub(crate) ends: Vec<&'static str>,
    /// For each pipe that was waited for, whether it can be read.
    pub(crate) readable: Vec<bool>,
}

// === impl Signals ===

impl Signals {
    /// Handles them from now on.
    ///
    /// # Errors
    /// When the handlers can't be installed.
    pub(crate) fn handle() -> io::Result<Self> {
        Ok(Self { terminate: written_by(SIGTERM)?, interrupt: written_by(SIGINT)?, child: written_by(SIGCHLD)? })
    }

    /// Waits for a signal (the end of a child is one), for something to read in one of `pipes`, and until `wake` at the longest.
    ///
    /// # Errors
    /// When the kernel can't wait.
    pub(crate) fn wait(&self, pipes: &[BorrowedFd<'_>], wake: Option<Instant>) -> io::Result<Woken> {
        let own = [self.terminate.as_fd(), self.interrupt.as_fd(), self.child.as_fd()];
        let mut all: Vec<PollFd<'_>> = own.into_iter().chain(pipes.iter().copied()).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        match poll(&mut all, wake.map_or(PollTimeout::NONE, |wake| until(wake, Instant::now()))) {
            // A signal that came while waiting has written its byte.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        // A pipe whose other end is closed can be read, too: to its end.
        let readable = all[own.len()..].iter().map(|fd| fd.any().unwrap_or_default()).collect();
        let named = [("SIGTERM", &self.terminate), ("SIGINT", &self.interrupt)];
        let ends = named.into_iter().flat_map(|(name, pipe)| std::iter::repeat_n(name, written(pipe))).collect();
        written(&self.child);
        Ok(Woken { ends, readable })
    }
}

/// A pipe into which a signal writes.
fn written_by(signal: c_int) -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    pipe::register(signal, write)?;
    Ok(read)
}

/// How many bytes have come. Three signals to end are as good as any more.
fn written(mut pipe: &UnixStream) -> usize {
    pipe.read(&mut [0; 3]).unwrap_or_default()
}

/// The kernel's form of a moment: never before it, and a minute ahead at the most, after which the caller looks again.
fn until(wake: Instant, now: Instant) -> PollTimeout {
    let wait = wake.saturating_duration_since(now).min(Duration::from_secs(60));
    let milliseconds = wait.as_micros().div_ceil(1000);
    u16::try_from(milliseconds).map_or(PollTimeout::MAX, PollTimeout::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal, raise};
    use std::io::Write;

    #[test]
    fn a_wait_ends_with_a_signal_with_a_pipe_and_with_time() {
        let signals = Signals::handle().unwrap();
        let (read, mut write) = UnixStream::pair().unwrap();
        let soon = || Some(Instant::now() + Duration::from_millis(20));
        let before = Instant::now();
        let woken = signals.wait(&[read.as_fd()], soon()).unwrap();
        assert!(before.elapsed() >= Duration::from_millis(20));
        assert_eq!((woken.ends, woken.readable), (vec![], vec![false]));

        write.write_all(b"x").unwrap();
        let woken = signals.wait(&[read.as_fd()], None).unwrap();
        assert_eq!((woken.ends, woken.readable), (vec![], vec![true]));
        (&read).read_exact(&mut [0]).unwrap();

        raise(Signal::SIGINT).unwrap();
        raise(Signal::SIGTERM).unwrap();
        raise(Signal::SIGTERM).unwrap();
        let woken = signals.wait(&[read.as_fd()], None).unwrap();
        assert_eq!((woken.ends, woken.readable), (vec!["SIGTERM", "SIGTERM", "SIGINT"], vec![false]));

        // A child's end wakes once.
        raise(Signal::SIGCHLD).unwrap();
        let woken = signals.wait(&[read.as_fd()], None).unwrap();
        assert_eq!((woken.ends, woken.readable), (vec![], vec![false]));
        let before = Instant::now();
        signals.wait(&[read.as_fd()], soon()).unwrap();
        assert!(before.elapsed() >= Duration::from_millis(20));

        drop(write);
        assert_eq!(signals.wait(&[read.as_fd()], None).unwrap().readable, [true]);
    }

    #[test]
    fn nobody_wakes_before_his_time() {
        let now = Instant::now();
        let waits = |micros| until(now + Duration::from_micros(micros), now);
        assert_eq!(waits(0), PollTimeout::ZERO);
        assert_eq!(waits(1), PollTimeout::from(1u16));
        assert_eq!(waits(1001), PollTimeout::from(2u16));
        assert_eq!(waits(3_600_000_000), PollTimeout::from(60_000u16));
    }
}
