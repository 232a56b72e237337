//! Sending a transaction to the kernel and reading its verdict.

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::NetfilterMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use std::io;

use super::{
    apply::RedirectError,
    encode::{Step, transaction},
    rule::Chain,
};

/// Puts `chains` in place of whatever an earlier call left in this process's network namespace.
///
/// # Errors
/// When the kernel refuses; the namespace is then as it was.
pub(super) fn install(chains: &[Chain]) -> Result<(), RedirectError> {
    let steps = transaction(chains);
    let mut batch = Vec::new();
    for step in &steps {
        let start = batch.len();
        batch.resize(start + step.message.buffer_len(), 0);
        step.message.serialize(&mut batch[start..]);
    }
    let mut socket = Socket::new(NETLINK_NETFILTER).map_err(|error| match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::EPROTONOSUPPORT) => RedirectError::Unsupported("netfilter netlink".to_owned()),
        _ => RedirectError::Netlink(error),
    })?;
    socket.bind_auto().map_err(RedirectError::Netlink)?;
    socket.connect(&SocketAddr::new(0, 0)).map_err(RedirectError::Netlink)?;
    socket.send(&batch, 0).map_err(RedirectError::Netlink)?;
    // The kernel has worked off the batch when send returns, so all answers are there, and none is waited for; the first error is the
    // cause.
    socket.set_non_blocking(true).map_err(RedirectError::Netlink)?;
    let awaited = steps.len() - 2;
    loop {
        let (answer, _) = socket.recv_from_full().map_err(RedirectError::Netlink)?;
        if verdict(&answer, &steps)? >= awaited {
            return Ok(());
        }
    }
}

/// The highest step that this datagram acknowledges.
fn verdict(mut answer: &[u8], steps: &[Step]) -> Result<usize, RedirectError> {
    let mut acknowledged = 0;
    while !answer.is_empty() {
        let message = NetlinkMessage::<NetfilterMessage>::deserialize(answer).map_err(|error| RedirectError::Answer(error.to_string()))?;
        let number = usize::try_from(message.header.sequence_number).unwrap_or_default();
        if let NetlinkPayload::Error(answer) = &message.payload {
            match answer.code {
                None => acknowledged = acknowledged.max(number),
                Some(code) => return Err(refusal(steps.get(number).map(|step| step.what.as_str()), code.get())),
            }
        }
        // Messages are aligned to four bytes; the last one's padding may be missing.
        let length = (message.header.length as usize).next_multiple_of(4).min(answer.len());
        answer = &answer[length..];
    }
    Ok(acknowledged)
}

fn refusal(step: Option<&str>, code: i32) -> RedirectError {
    let source = io::Error::from_raw_os_error(code.abs());
    let step = step.unwrap_or("the transaction").to_owned();
    match source.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::EPERM) => RedirectError::Forbidden,
        Some(nix::errno::Errno::EOPNOTSUPP | nix::errno::Errno::EPROTONOSUPPORT | nix::errno::Errno::EAFNOSUPPORT) => {
            RedirectError::Unsupported(step)
        }
        // A kind of chain, or an expression, that it does not know.
        Some(nix::errno::Errno::ENOENT) if step.starts_with("add chain") || step.starts_with("add rule") => {
            RedirectError::Unsupported(step)
        }
        _ => RedirectError::Refused { step, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_missing_right_or_the_rule() {
        assert!(refusal(Some("begin"), -1).to_string().contains("NET_ADMIN"));
        assert!(refusal(Some("add chain inet ferromesh output"), -2).to_string().contains("CONFIG_NFT_NAT"));
        // The expression is not known.
        assert!(
            refusal(Some("add rule inet ferromesh output tcp dport 80 redirect to :15001"), -2).to_string().contains("CONFIG_NFT_REDIR")
        );
        let error = refusal(Some("add rule inet ferromesh output tcp dport 80 return"), -22);
        assert_eq!(error.to_string(), "the kernel refused \"add rule inet ferromesh output tcp dport 80 return\"");
    }
}
