//! An HTTP server on loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Answers everything with the same body, and counts.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start(body: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = requests.clone();
        // Ends with the process; until then it holds nothing but its port.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (body, count) = (body.clone(), count.clone());
                std::thread::spawn(move || serve(&stream, &body, &count));
            }
        });
        Self { address, requests }
    }

    /// What a permission for it says.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn serve(mut stream: &TcpStream, body: &[u8], requests: &AtomicUsize) {
    let mut lines = BufReader::new(stream).lines();
    while let Some(Ok(_)) = lines.next() {
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        requests.fetch_add(1, Ordering::SeqCst);
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let answered = stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body));
        if answered.is_err() {
            return;
        }
    }
}
