//! What the agent proper tells the supervisor: single lines through a pipe, the agent's standard output.

use std::{
    fmt,
    io::{self, Read},
    os::fd::{AsFd, BorrowedFd},
    process::ChildStdout,
    str::FromStr,
};

/// One order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Certificate and bootstrap are there: Envoy may start, and is to be kept running.
    StartEnvoy,
    /// Somebody in the pod asked the proxy to end.
    Quit,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartEnvoy => "start-envoy",
            Self::Quit => "quit",
        })
    }
}

impl FromStr for Order {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "start-envoy" => Ok(Self::StartEnvoy),
            "quit" => Ok(Self::Quit),
            other => Err(other.to_owned()),
        }
    }
}

/// An agent's pipe, with the beginning of a line whose end has not come yet.
#[derive(Debug)]
pub(crate) struct Orders<P = ChildStdout> {
    pipe: P,
    begun: Vec<u8>,
}

/// More than any order has. What is longer is none.
const LONGEST_LINE: usize = 256;

// === impl Orders ===

impl<P: Read + AsFd> Orders<P> {
    pub(crate) fn new(pipe: P) -> Self {
        Self { pipe, begun: Vec::new() }
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Takes what can be read, of a pipe that can be; `None` at its end.
    pub(crate) fn read(&mut self) -> Option<Vec<Order>> {
        let mut piece = [0; LONGEST_LINE];
        match self.pipe.read(&mut piece) {
            Ok(0) => None,
            Ok(length) => {
                self.begun.extend_from_slice(&piece[..length]);
                Some(self.complete())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Some(Vec::new()),
            Err(error) => {
                tracing::error!(%error, "the agent's orders can't be read");
                None
            }
        }
    }

    fn complete(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            match String::from_utf8_lossy(&line[..end]).parse() {
                Ok(order) => orders.push(order),
                Err(line) => tracing::warn!(line, "the agent said something that is no order"),
            }
        }
        if self.begun.len() > LONGEST_LINE {
            tracing::warn!("the agent said something that is no order, and has no end");
            self.begun.clear();
        }
        orders
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write, os::unix::net::UnixStream};

    #[test]
    fn orders_are_whole_lines_wherever_a_piece_ends() {
        let (read, mut write) = UnixStream::pair().unwrap();
        let mut orders = Orders::new(read);
        let mut said = |text: &str| {
            write.write_all(text.as_bytes()).unwrap();
            orders.read().unwrap()
        };
        assert_eq!(said("start-"), []);
        assert_eq!(said("envoy\nquit"), [Order::StartEnvoy]);
        assert_eq!(said("\nhello\nstart-envoy\n"), [Order::Quit, Order::StartEnvoy]);
        for _ in 0..8 {
            said(&"x".repeat(LONGEST_LINE));
        }
        assert_eq!(said("\nquit\n"), [Order::Quit]);
        assert!(orders.begun.capacity() <= 4 * LONGEST_LINE);
        drop(write);
        assert_eq!(orders.read(), None);
    }

    #[test]
    fn an_order_is_read_as_it_is_written() {
        for order in [Order::StartEnvoy, Order::Quit] {
            assert_eq!(order.to_string().parse(), Ok(order));
        }
    }
}
