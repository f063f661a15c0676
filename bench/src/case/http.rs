//! As much of HTTP/1.1 as Parlance's API needs: JSON over a connection that is kept.

use super::CaseError;
use serde_json::Value;
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is read, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One connection to the API.
#[derive(Debug)]
pub(crate) struct Http {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
    token: String,
    answer: Vec<u8>,
}

impl Http {
    /// As whoever the token belongs to.
    pub(crate) fn connect(address: SocketAddr, token: &str) -> Result<Self, CaseError> {
        let open = || -> io::Result<TcpStream> {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            Ok(stream)
        };
        let stream = open().map_err(CaseError::io("connecting to the HTTP API"))?;
        let stream = BufReader::with_capacity(64 * 1024, stream);
        Ok(Self { address, stream, token: token.to_owned(), answer: Vec::new() })
    }

    /// Another address of the same API, for other connections.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn post(&mut self, path: &str, body: &Value) -> Result<Value, CaseError> {
        self.call("POST", path, &body.to_string())?;
        self.answer(path)
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Value, CaseError> {
        self.fetch(path)?;
        self.answer(path)
    }

    /// As [`get`](Self::get), without a look into the answer; its size.
    pub(crate) fn fetch(&mut self, path: &str) -> Result<usize, CaseError> {
        self.call("GET", path, "")?;
        Ok(self.answer.len())
    }

    fn answer(&self, path: &str) -> Result<Value, CaseError> {
        serde_json::from_slice(&self.answer)
            .map_err(|error| CaseError::Io { what: format!("the answer of {path}"), source: error.into() })
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Result<(), CaseError> {
        let status = self.exchange(method, path, body).map_err(CaseError::io(path))?;
        if !(200..300).contains(&status) {
            let said = String::from_utf8_lossy(&self.answer).into_owned();
            return Err(CaseError::Api { path: path.to_owned(), status, said });
        }
        Ok(())
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> io::Result<u16> {
        let (address, token, length) = (self.address, &self.token, body.len());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        let mut length = None;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let length = length.filter(|&length| length <= ANSWER_BYTES_MAX).ok_or(io::ErrorKind::InvalidData)?;
        self.answer.resize(length, 0);
        self.stream.read_exact(&mut self.answer)?;
        Ok(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, thread};

    #[test]
    fn answers_are_read_one_after_the_other_on_one_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut request = [0; 1_024];
            for answer in [
                "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}",
                "HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\nno",
            ] {
                assert!(stream.read(&mut request).expect("a request") > 0);
                stream.write_all(answer.as_bytes()).expect("it listens");
            }
        });
        let mut http = Http::connect(address, "t").expect("connected");
        assert_eq!(http.get("/x").expect("200")["a"], 1);
        let error = http.post("/y", &Value::Null).expect_err("404");
        assert!(matches!(error, CaseError::Api { status: 404, said, .. } if said == "no"));
        server.join().expect("both were asked");
    }
}
