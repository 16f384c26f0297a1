//! Opens sockets. Cases, in both hooks: `connect`, `listen`, `udp`, `resolve`.

use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};

use modelzoo_guest::prelude::*;
use test_guests::{case, unknown_case};

struct Guest;

impl Source for Guest {
    fn download_model(model_name: &str, _: &ModelPath) -> Result<()> {
        Err(open(case(model_name, "connect")))
    }

    fn load_model(model_name: &str, _: &ModelPath, _: Kwargs) -> Result<Plan> {
        Err(open(case(model_name, "connect")))
    }
}

fn open(case: &str) -> Error {
    let result = match case {
        "connect" => TcpStream::connect("127.0.0.1:9").map(drop),
        "listen" => TcpListener::bind("127.0.0.1:0").map(drop),
        "udp" => UdpSocket::bind("127.0.0.1:0").map(drop),
        "resolve" => "example.org:80".to_socket_addrs().map(drop),
        other => return unknown_case(other),
    };
    Error::other(format_args!("{case} was answered: {result:?}"))
}

modelzoo_guest::export!(Guest);
