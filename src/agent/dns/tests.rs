//! The resolver's sockets, and servers behind it, on loopback.

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType, rdata::A},
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};

use super::{
    server::{Counts, DnsListeners, Resolver},
    table::{Host, NameTable},
    upstream::{Upstream, read_message, write_message},
};
use crate::runtime::Tasks;
use crate::testing::block_on;

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn query(name: &str) -> Vec<u8> {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

fn shown(reply: &[u8]) -> Result<Vec<String>, ResponseCode> {
    let reply = Message::from_vec(reply).unwrap();
    match reply.metadata.response_code {
        ResponseCode::NoError => Ok(reply.answers.iter().map(|it| it.data.to_string()).collect()),
        code => Err(code),
    }
}

async fn by_udp(server: SocketAddr, query: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind((server.ip(), 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    socket.send(query).await.unwrap();
    let mut reply = vec![0; 4096];
    let length = timeout(PATIENCE, socket.recv(&mut reply)).await.unwrap().unwrap();
    reply.truncate(length);
    reply
}

async fn by_tcp(server: SocketAddr, queries: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await.unwrap();
    let mut replies = Vec::new();
    for query in queries {
        write_message(&mut stream, query).await.unwrap();
        replies.push(timeout(PATIENCE, read_message(&mut stream)).await.unwrap().unwrap());
    }
    replies
}

/// What a server of the pod says: by UDP first something that is no reply to the query.
fn reply(query: &[u8], address: [u8; 4]) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let mut reply = Message::response(query.metadata.id, OpCode::Query);
    let name = query.queries[0].name().clone();
    reply.add_queries(query.queries);
    reply.add_answer(Record::from_rdata(name, 1, RData::A(A(address.into()))));
    reply.to_vec().unwrap()
}

/// A server that answers each query by UDP with one address and by TCP with another, and that nobody can pretend to be.
async fn server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    tokio::spawn(async move {
        let mut query = vec![0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut query).await {
            let right = reply(&query[..length], [192, 0, 2, 1]);
            let mut wrong = right.clone();
            wrong[1] ^= 1;
            for answer in [&wrong, &right] {
                socket.send_to(answer, client).await.unwrap();
            }
        }
    });
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Ok(query) = read_message(&mut stream).await {
                write_message(&mut stream, &reply(&query, [192, 0, 2, 2])).await.unwrap();
            }
        }
    });
    port
}

/// A resolver that knows `api.example.com`, with these servers.
async fn resolver(servers: &[IpAddr], port: u16, tasks: &mut Tasks) -> Vec<SocketAddr> {
    let table = NameTable::default();
    let host = Host { addresses: ["240.240.0.7".parse().unwrap()].into(), version: "1".into() };
    table.change([("api.example.com".to_owned(), host)], &[]);
    let listeners = DnsListeners::bind(0).await.unwrap();
    let addresses = listeners.addresses();
    let resolver = Resolver { table, search: [].into(), upstream: Upstream::new(servers, port), counts: Counts::default() };
    tasks.spawn("dns", listeners.serve(resolver, tasks.shutdown()));
    addresses
}

#[test]
fn queries_are_answered_from_the_table_and_others_by_the_pods_servers() {
    block_on(async {
        let mut tasks = Tasks::new();
        // Nobody listens at the first one.
        let servers: [IpAddr; 2] = ["127.0.0.99", "127.0.0.1"].map(|it| it.parse().unwrap());
        let port = server().await;
        for address in resolver(&servers, port, &mut tasks).await {
            assert_eq!(shown(&by_udp(address, &query("api.example.com.")).await), Ok(vec!["240.240.0.7".to_owned()]), "{address}");
            assert_eq!(shown(&by_udp(address, &query("other.example.com.")).await), Ok(vec!["192.0.2.1".to_owned()]), "{address}");
            let replies = by_tcp(address, &[&query("api.example.com."), &query("other.example.com.")]).await;
            let replies: Vec<_> = replies.iter().map(|reply| shown(reply).unwrap()).collect();
            assert_eq!(replies, [["240.240.0.7"], ["192.0.2.2"]], "{address}");
        }
    });
}

#[test]
fn where_no_server_answers_the_query_fails_and_does_not_hang() {
    block_on(async {
        let mut tasks = Tasks::new();
        let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap().port();
        for servers in [&[][..], &["127.0.0.99".parse().unwrap()]] {
            for address in resolver(servers, nobody, &mut tasks).await {
                assert_eq!(shown(&by_udp(address, &query("other.example.com.")).await), Err(ResponseCode::ServFail), "{address}");
                assert_eq!(shown(&by_tcp(address, &[&query("other.example.com.")]).await[0]), Err(ResponseCode::ServFail), "{address}");
                assert_eq!(shown(&by_udp(address, &query("api.example.com.")).await), Ok(vec!["240.240.0.7".to_owned()]), "{address}");
            }
        }
    });
}
