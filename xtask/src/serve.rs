//! A web server on the loopback address that serves one file.

use std::net::SocketAddr;
use std::thread;

use tiny_http::{Method, Request, Response, Server};

use crate::Result;

/// Serves some bytes under a path until the process ends; returns the server's address.
pub(crate) fn serve(path: &'static str, contents: Vec<u8>) -> Result<SocketAddr> {
    let server = Server::http("127.0.0.1:0").map_err(|error| error.to_string())?;
    let address = server.server_addr().to_ip();
    let address = address.ok_or("the server has no address")?;
    thread::spawn(move || {
        for request in server.incoming_requests() {
            // A client that goes away early is its own affair.
            let _ = answer(request, path, &contents);
        }
    });
    Ok(address)
}

fn answer(request: Request, path: &str, contents: &[u8]) -> std::io::Result<()> {
    if !matches!(request.method(), Method::Get | Method::Head) {
        return request.respond(Response::empty(405));
    }
    if request.url() != path {
        return request.respond(Response::empty(404));
    }
    request.respond(Response::from_data(contents))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;

    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn one_file_is_served() {
        let address = serve("/a.zip", b"contents".to_vec()).unwrap();
        let found = ask(address, "GET /a.zip");
        assert!(
            found.starts_with("HTTP/1.1 200 OK\r\n") && found.ends_with("\r\n\r\ncontents"),
            "{found}"
        );
        let head = ask(address, "HEAD /a.zip");
        assert!(
            head.contains("Content-Length: 8\r\n") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        assert!(ask(address, "GET /b").starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /a.zip").starts_with("HTTP/1.1 405 "));
    }
}
