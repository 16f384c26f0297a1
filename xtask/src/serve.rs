//! A web server on the loopback address that serves one file.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::Result;

/// Lines of a request that are read.
const MAX_LINES: usize = 100;
/// Bytes of a request that are read.
const MAX_REQUEST: u64 = 64 << 10;

/// Serves some bytes under a path until the process ends; answers with the server's address.
pub(crate) fn serve(path: &str, contents: Vec<u8>) -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr()?;
    let served = Arc::new((path.to_owned(), contents));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let served = Arc::clone(&served);
            // A client that goes away early is its own affair.
            thread::spawn(move || answer(stream, &served.0, &served.1).ok());
        }
    });
    Ok(address)
}

fn answer(mut stream: TcpStream, path: &str, contents: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.set_write_timeout(Some(Duration::from_secs(30)))?;
    let mut lines = BufReader::new((&stream).take(MAX_REQUEST)).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines.take(MAX_LINES) {
        if line?.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (status, body): (_, &[u8]) = match method {
        "GET" | "HEAD" if target == path => ("200 OK", contents),
        "GET" | "HEAD" => ("404 Not Found", b"not found\n"),
        _ => ("405 Method Not Allowed", b"only GET and HEAD\n"),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if method != "HEAD" {
        stream.write_all(body)?;
    }
    stream.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn one_file_is_served() {
        let address = serve("/a.zip", b"contents".to_vec()).unwrap();
        let found = ask(address, "GET /a.zip HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(
            found.starts_with("HTTP/1.1 200 OK\r\n") && found.ends_with("\r\n\r\ncontents"),
            "{found}"
        );
        let head = ask(address, "HEAD /a.zip HTTP/1.1\r\n\r\n");
        assert!(
            head.contains("Content-Length: 8\r\n") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        assert!(ask(address, "GET /b HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
        assert!(ask(address, "POST /a.zip HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));
    }
}
