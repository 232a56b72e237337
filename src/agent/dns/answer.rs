//! What becomes of one query: an answer from the table, or the question to a server.

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME},
    },
};
use std::net::IpAddr;

use super::table::{Found, NameTable};

/// What is to be done with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// This is sent back.
    Reply(Vec<u8>),
    /// A server is asked.
    Ask,
    /// It is no query.
    Nothing,
}

/// Seconds for which an answer may be kept.
const LIFETIME: u32 = 30;
/// What a client takes by UDP that does not say.
const LEAST_DATAGRAM: u16 = 512;
/// The largest datagram that crosses any network whole.
const SAFE_DATAGRAM: u16 = 1232;
/// The bytes before the first question.
const HEADER: usize = 12;

/// Answers a query from the table. By UDP an answer must fit a datagram, and says where it does not, so that the client asks by TCP.
pub(super) fn answer(query: &[u8], by_udp: bool, table: &NameTable, search: &[String]) -> Outcome {
    let Ok(query) = Message::from_vec(query) else {
        return malformed(query).map_or(Outcome::Nothing, Outcome::Reply);
    };
    if query.metadata.message_type != MessageType::Query {
        return Outcome::Nothing;
    }
    let [question] = &query.queries[..] else { return Outcome::Ask };
    if query.metadata.op_code != OpCode::Query || question.query_class() != DNSClass::IN {
        return Outcome::Ask;
    }
    // Whatever else there is of a host is the servers' to know, but for what clients ask for along with its addresses: that a host does not
    // exist, as they would hear, is no answer to believe.
    let kind = question.query_type();
    if !matches!(kind, RecordType::A | RecordType::AAAA | RecordType::HTTPS | RecordType::SVCB) {
        return Outcome::Ask;
    }
    let name = question.name().to_ascii().to_ascii_lowercase();
    let Some(found) = table.find(name.trim_end_matches('.'), search) else { return Outcome::Ask };
    let mut reply = Message::response(query.metadata.id, OpCode::Query);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.metadata.authoritative = true;
    reply.add_query(question.clone());
    reply.answers = records(question.name(), kind, found, usize::from(query.metadata.id));
    if query.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(SAFE_DATAGRAM);
        reply.set_edns(edns);
    }
    let taken = query.edns.as_ref().map_or(LEAST_DATAGRAM, |edns| edns.max_payload().clamp(LEAST_DATAGRAM, SAFE_DATAGRAM));
    match reply.to_vec() {
        Ok(bytes) if by_udp && bytes.len() > usize::from(taken) => reply.truncate().to_vec().map_or(Outcome::Nothing, Outcome::Reply),
        Ok(bytes) => Outcome::Reply(bytes),
        // A name that is found can be written.
        Err(_) => Outcome::Ask,
    }
}

/// The records of one kind. A host without any has an answer all the same: that it has none.
fn records(asked: &Name, kind: RecordType, found: Found, turn: usize) -> Vec<Record> {
    let of_kind = |address: &IpAddr| match (address, kind) {
        (IpAddr::V4(v4), RecordType::A) => Some(RData::A(A(*v4))),
        (IpAddr::V6(v6), RecordType::AAAA) => Some(RData::AAAA(AAAA(*v6))),
        _ => None,
    };
    let mut addresses: Vec<RData> = found.addresses.iter().filter_map(of_kind).collect();
    // Clients take the first: each shall have its turn.
    let first = turn.checked_rem(addresses.len()).unwrap_or_default();
    addresses.rotate_left(first);
    let alias = found.alias_of.and_then(|host| {
        let mut host = Name::from_ascii(host).ok()?;
        host.set_fqdn(true);
        Some(host)
    });
    let owner = alias.clone().unwrap_or_else(|| asked.clone());
    let alias = alias.map(|host| Record::from_rdata(asked.clone(), LIFETIME, RData::CNAME(CNAME(host))));
    alias.into_iter().chain(addresses.into_iter().map(|address| Record::from_rdata(owner.clone(), LIFETIME, address))).collect()
}

/// The reply to what can't be read, if it has a header to reply to.
fn malformed(query: &[u8]) -> Option<Vec<u8>> {
    let header = query.first_chunk::<HEADER>()?;
    let is_query = header[2] & 0x80 == 0;
    let id = u16::from_be_bytes([header[0], header[1]]);
    is_query.then(|| Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok()).flatten()
}

/// The reply that no server gave one.
pub(super) fn failed(query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let mut reply = Message::error_msg(query.metadata.id, query.metadata.op_code, ResponseCode::ServFail);
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.add_queries(query.queries);
    reply.to_vec().ok()
}

/// Whether a reply answers that query: the same number, and the same question.
pub(super) fn answers(reply: &[u8], query: &[u8]) -> bool {
    let (Some(asked), Some(answered)) = (question(query), question(reply)) else { return false };
    reply.get(..2) == query.get(..2) && reply[2] & 0x80 != 0 && asked.eq_ignore_ascii_case(answered)
}

/// The bytes of the first question.
fn question(message: &[u8]) -> Option<&[u8]> {
    let mut at = HEADER;
    loop {
        match *message.get(at)? {
            // The name's end; type and class follow.
            0 => return message.get(HEADER..at + 5),
            length if length < 64 => at += usize::from(length) + 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::dns::table::Host;
    use hickory_proto::op::Query;

    fn table() -> NameTable {
        let host = |addresses: &[&str]| Host { addresses: addresses.iter().map(|it| it.parse().unwrap()).collect(), version: "1".into() };
        let many: Vec<String> = (1..=100).map(|n| format!("10.1.0.{n}")).collect();
        let table = NameTable::default();
        let hosts = [
            ("api.example.com", host(&["240.240.0.7"])),
            ("both.example.com", host(&["10.0.0.1", "fd00::1", "10.0.0.2"])),
            ("many.example.com", host(&many.iter().map(String::as_str).collect::<Vec<_>>())),
        ];
        table.change(hosts.map(|(name, host)| (name.to_owned(), host)), &[]);
        table
    }

    fn query(id: u16, name: &str, kind: RecordType) -> Message {
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message
    }

    fn asked(query: &Message, by_udp: bool) -> Outcome {
        answer(&query.to_vec().unwrap(), by_udp, &table(), &["shop.svc.cluster.local".to_owned()])
    }

    fn reply(query: &Message) -> Message {
        let Outcome::Reply(bytes) = asked(query, true) else { panic!("{:?}", asked(query, true)) };
        Message::from_vec(&bytes).unwrap()
    }

    fn shown(reply: &Message) -> Vec<String> {
        reply.answers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_known_host_is_answered() {
        let reply = reply(&query(7, "API.Example.com.", RecordType::A));
        assert_eq!(shown(&reply), ["API.Example.com. 30 IN A 240.240.0.7"]);
        assert_eq!((reply.metadata.id, reply.metadata.response_code), (7, ResponseCode::NoError));
        assert!(reply.metadata.recursion_available && reply.metadata.recursion_desired && reply.edns.is_none());
    }

    #[test]
    fn a_family_that_a_known_host_lacks_is_no_missing_host() {
        for kind in [RecordType::AAAA, RecordType::HTTPS] {
            let reply = reply(&query(7, "api.example.com.", kind));
            assert_eq!((reply.answers.len(), reply.metadata.response_code), (0, ResponseCode::NoError));
        }
    }

    #[test]
    fn each_family_is_answered_by_its_own_and_each_address_has_its_turn() {
        let of = |id, kind| shown(&reply(&query(id, "both.example.com.", kind)));
        assert_eq!(of(0, RecordType::AAAA), ["both.example.com. 30 IN AAAA fd00::1"]);
        let turns = ["both.example.com. 30 IN A 10.0.0.1", "both.example.com. 30 IN A 10.0.0.2"];
        assert_eq!(of(2, RecordType::A), turns);
        assert_eq!(of(3, RecordType::A), [turns[1], turns[0]]);
    }

    #[test]
    fn a_name_with_a_search_domain_leads_to_the_host() {
        let reply = reply(&query(7, "api.example.com.shop.svc.cluster.local.", RecordType::A));
        assert_eq!(
            shown(&reply),
            ["api.example.com.shop.svc.cluster.local. 30 IN CNAME api.example.com.", "api.example.com. 30 IN A 240.240.0.7"]
        );
    }

    #[test]
    fn what_fits_no_datagram_is_asked_for_by_tcp() {
        let mut query = query(7, "many.example.com.", RecordType::A);
        let first = reply(&query);
        assert!(first.metadata.truncation && first.answers.is_empty());
        let Outcome::Reply(whole) = asked(&query, false) else { panic!() };
        assert_eq!(Message::from_vec(&whole).unwrap().answers.len(), 100);
        let mut edns = Edns::new();
        edns.set_max_payload(60_000);
        query.set_edns(edns);
        let second = reply(&query);
        assert!(second.metadata.truncation && second.edns.is_some(), "more than {SAFE_DATAGRAM} bytes");
    }

    #[test]
    fn everything_else_is_the_servers_to_answer() {
        assert_eq!(asked(&query(7, "unknown.example.com.", RecordType::A), true), Outcome::Ask);
        assert_eq!(asked(&query(7, "api.example.com.", RecordType::MX), true), Outcome::Ask);
        let mut two = query(7, "api.example.com.", RecordType::A);
        two.add_query(two.queries[0].clone());
        assert_eq!(asked(&two, true), Outcome::Ask);
        let mut status = query(7, "api.example.com.", RecordType::A);
        status.metadata.op_code = OpCode::Status;
        assert_eq!(asked(&status, true), Outcome::Ask);
    }

    #[test]
    fn what_is_no_query_is_not_answered_and_broken_ones_are_told_so() {
        let table = table();
        let of = |bytes: &[u8]| answer(bytes, true, &table, &[]);
        let whole = query(7, "api.example.com.", RecordType::A);
        assert_eq!(of(&Message::response(7, OpCode::Query).to_vec().unwrap()), Outcome::Nothing);
        let bytes = whole.to_vec().unwrap();
        for length in 0..bytes.len() {
            match of(&bytes[..length]) {
                Outcome::Nothing => assert!(length < HEADER),
                Outcome::Reply(reply) => {
                    let reply = Message::from_vec(&reply).unwrap();
                    assert_eq!((reply.metadata.id, reply.metadata.response_code), (7, ResponseCode::FormErr));
                }
                Outcome::Ask => panic!("{length}"),
            }
        }
    }

    #[test]
    fn a_reply_belongs_to_its_query() {
        let query = query(7, "api.example.com.", RecordType::A).to_vec().unwrap();
        let failed = failed(&query).unwrap();
        assert!(answers(&failed, &query));
        assert_eq!(Message::from_vec(&failed).unwrap().metadata.response_code, ResponseCode::ServFail);
        assert!(!answers(&query, &query), "a query is no reply");
        let other = |id, name: &str| super::failed(&bytes(id, name)).unwrap();
        assert!(answers(&other(7, "API.example.com."), &query));
        assert!(!answers(&other(8, "api.example.com."), &query) && !answers(&other(7, "api.example.org."), &query));
        assert!(!answers(&failed[..14], &query) && !answers(&[], &query));
    }

    fn bytes(id: u16, name: &str) -> Vec<u8> {
        query(id, name, RecordType::A).to_vec().unwrap()
    }
}
