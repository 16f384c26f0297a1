//! One download with all its attempts.

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::HeaderMap;
use sha2::{Digest as _, Sha256};

use super::partial::{Partial, PartialInfo};
use super::range::{ContentRange, Validator, ask};
use super::sink::Sink;
use super::{Download, Downloaded, is_spoilt};
use crate::audit::Recorder;
use crate::body::Body;
use crate::client::without_query;
use crate::error::Error;
use crate::exchange::{Exchange, FinalResponse, status_error};
use crate::headers;
use crate::policy::redact;
use crate::progress::Task;
use crate::retry::Retries;

/// With so many bytes more than ever before, an attempt counts as progress.
const PROGRESS: u64 = 1024 * 1024;
/// A server that answers a range with less than this, and not to its end, counts as broken off.
const SHORTEST_RANGE: u64 = 64 * 1024;

pub(crate) struct Transfer<'a> {
    exchange: Exchange<'a>,
    what: &'a Download<'a>,
    task: Box<dyn Task>,
    partial: Arc<Mutex<Partial>>,
    sink: Option<Sink>,
    /// How many bytes are there, in order from the first.
    done: u64,
    /// The most that were ever there.
    most: u64,
    known: PartialInfo,
    /// The first bytes are of an earlier process.
    inherited: bool,
    latest: Latest,
}

/// The metadata of the last response.
#[derive(Default)]
struct Latest {
    url: Option<url::Url>,
    content_type: Option<String>,
    etag: Option<String>,
}

impl<'a> Transfer<'a> {
    /// Opens the unfinished file and takes up what is left in it.
    pub(crate) async fn open(
        exchange: Exchange<'a>,
        what: &'a Download<'a>,
        task: Box<dyn Task>,
        key: &str,
    ) -> Result<Self, Error> {
        let (into, dir) = (what.into.to_owned(), what.partials.map(ToOwned::to_owned));
        let (key, checked) = (key.to_owned(), what.expect_sha256.is_some());
        let opened = tokio::task::spawn_blocking(move || {
            let mut partial = Partial::open(&into, dir.as_deref(), &key)?;
            let left = match partial.left(checked) {
                Some((length, known)) => Some((partial.hash(length)?, length, known)),
                None => None,
            };
            Ok::<_, Error>((partial, left))
        });
        let (partial, left) = opened
            .await
            .map_err(|e| Error::io("open", what.into, e.into()))??;
        let mut transfer = Self {
            exchange,
            what,
            task,
            partial: Arc::new(Mutex::new(partial)),
            sink: None,
            done: 0,
            most: 0,
            known: PartialInfo::default(),
            inherited: false,
            latest: Latest::default(),
        };
        match left {
            Some((hasher, length, known)) => {
                transfer.sink = Some(transfer.open_sink(length, hasher).await?);
                transfer.done = length;
                transfer.most = length;
                transfer.known = known;
                transfer.inherited = true;
                transfer.show();
            }
            None => transfer.restart().await?,
        }
        Ok(transfer)
    }

    /// Whether some of the bytes are of an earlier process.
    pub(crate) fn inherited(&self) -> bool {
        self.inherited
    }

    /// Forgets all bytes.
    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        self.sink = None;
        self.done = 0;
        self.known = PartialInfo::default();
        self.inherited = false;
        self.task.set(0);
        self.disk(Partial::restart).await
    }

    /// Tries until the file is in place or a retry is pointless.
    pub(crate) async fn run(&mut self, recorder: &mut Recorder<'_>) -> Result<Downloaded, Error> {
        let mut retries = Retries::new(self.exchange.config());
        loop {
            let most = self.most;
            let attempt = self.attempt(recorder).await;
            self.most = self.most.max(self.done);
            if self.most >= most + PROGRESS {
                retries.progress();
            }
            match attempt {
                Ok(true) => return self.finish().await,
                Ok(false) => {}
                Err(error) => retries.pause(error, self.exchange.deadline).await?,
            }
        }
    }

    /// Ends the download: useless bytes are deleted, others are kept for a later call.
    pub(crate) async fn end(
        mut self,
        result: Result<Downloaded, Error>,
    ) -> Result<Downloaded, Error> {
        // What came is written, and the lock free, before the caller goes on.
        if let Some(sink) = self.sink.take() {
            let _ = sink.finish().await;
        }
        if result.as_ref().is_err_and(is_spoilt) {
            self.partial
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .discard();
        }
        result
    }

    /// One request. `true` when all bytes are there, `false` when another request is needed.
    async fn attempt(&mut self, recorder: &mut Recorder<'_>) -> Result<bool, Error> {
        if self.done > 0 && !self.can_resume() {
            self.restart().await?;
        }
        let resuming = self.done > 0;
        let extra = match resuming {
            true => ask(self.done, self.known.validator.as_ref()),
            false => HeaderMap::new(),
        };
        let response = self.exchange.send(&extra, recorder).await?;
        match response.http.status().as_u16() {
            200 | 203 => {
                if resuming {
                    self.restart().await?;
                }
                self.begin(&response).await?;
                let total = self.known.total;
                self.stream(response, total, recorder).await?;
                Ok(true)
            }
            206 if resuming => match self.continuation(response.http.headers()) {
                Some(range) => {
                    let end = range.last + 1;
                    self.note(&response);
                    self.stream(response, Some(end), recorder).await?;
                    Ok(range
                        .total
                        .or(self.known.total)
                        .is_none_or(|total| end == total))
                }
                None => {
                    self.restart().await?;
                    Ok(false)
                }
            },
            416 if resuming => {
                self.restart().await?;
                Ok(false)
            }
            _ => Err(status_error(&response)),
        }
    }

    /// Whether the rest alone can be requested: a validator or a digest must show that the bytes
    /// are still the same.
    fn can_resume(&self) -> bool {
        let checked = self.what.expect_sha256.is_some() && self.known.total.is_some();
        self.known.validator.is_some() || checked
    }

    /// The range of a 206, if it goes on exactly where we are, with the same bytes.
    fn continuation(&self, headers: &HeaderMap) -> Option<ContentRange> {
        let range = ContentRange::of(headers)?;
        let same = self
            .known
            .validator
            .as_ref()
            .is_none_or(|v| v.agrees(headers));
        let total = match (range.total, self.known.total) {
            (Some(new), Some(old)) => new == old,
            // With nothing else to go by, the length has to be stated.
            (new, _) => new.is_some() || self.known.validator.is_some(),
        };
        let length = range.last - range.first + 1;
        let enough = length >= SHORTEST_RANGE || range.total.is_some_and(|t| range.last + 1 == t);
        (range.first == self.done && same && total && enough).then_some(range)
    }

    /// Looks at the head of a whole response.
    async fn begin(&mut self, response: &FinalResponse) -> Result<(), Error> {
        let headers = response.http.headers();
        let url = || redact(&response.url);
        if self.what.refuse_html && is_html(headers::text(headers, "content-type")) {
            return Err(Error::WebPage { url: url() });
        }
        if let Some(encoding) = headers::encoding(headers)
            && !(encoding.contains("gzip") && is_gzip_file(response.url.path()))
        {
            return Err(Error::Encoded {
                url: url(),
                encoding: encoding.to_owned(),
            });
        }
        let total = response.http.content_length();
        if let Some(total) = total {
            self.check_length(total, total, &response.url)?;
        }
        self.known.validator = Validator::of(headers);
        self.known.total = total;
        self.note(response);
        let known = self.known.clone();
        self.disk(move |partial| partial.remember(&known)).await?;
        self.sink = Some(self.open_sink(0, Sha256::new()).await?);
        self.show();
        Ok(())
    }

    async fn open_sink(&mut self, offset: u64, hasher: Sha256) -> Result<Sink, Error> {
        self.disk(move |partial| {
            Ok(Sink::start(
                partial.writer(offset)?,
                partial.writer(offset)?,
                hasher,
            ))
        })
        .await
    }

    fn note(&mut self, response: &FinalResponse) {
        let headers = response.http.headers();
        let text = |name| headers::text(headers, name).map(str::to_owned);
        self.latest = Latest {
            url: Some(response.url.clone()),
            content_type: text("content-type"),
            etag: text("etag"),
        };
    }

    /// Takes the body in; it must end at `end`, where that is known.
    async fn stream(
        &mut self,
        response: FinalResponse,
        end: Option<u64>,
        recorder: &mut Recorder<'_>,
    ) -> Result<(), Error> {
        let mut body = Body::new(response, self.exchange.config(), self.exchange.deadline);
        while let Some(chunk) = body.next().await? {
            let done = self.done + chunk.len() as u64;
            self.check_length(
                done,
                self.what.expect_size.unwrap_or(done).max(done),
                body.url(),
            )?;
            if self.done == 0 && self.what.refuse_html && looks_like_html(&chunk) {
                return Err(Error::WebPage {
                    url: redact(body.url()),
                });
            }
            if end.is_some_and(|end| done > end) {
                return Err(Error::Protocol {
                    url: redact(body.url()),
                    reason: "the body is longer than its range".to_owned(),
                });
            }
            self.push(chunk).await?;
            self.done = done;
            recorder.bytes(done);
            self.task.set(done);
        }
        if end.is_some_and(|end| self.done != end) {
            return Err(Error::Interrupted {
                url: redact(body.url()),
                received: self.done,
                reason: "the body ended early".to_owned(),
                source: "the body ended early".into(),
            });
        }
        Ok(())
    }

    /// `least` bytes will come at least; the whole has `whole` as far as is known.
    fn check_length(&self, least: u64, whole: u64, url: &url::Url) -> Result<(), Error> {
        if let Some(expected) = self.what.expect_size
            && (whole != expected || least > expected)
        {
            return Err(Error::LengthMismatch {
                url: redact(url),
                expected,
                actual: whole,
            });
        }
        if least > self.what.max_bytes {
            return Err(Error::TooLarge {
                url: redact(url),
                what: "body",
                limit: self.what.max_bytes,
            });
        }
        Ok(())
    }

    async fn push(&mut self, chunk: bytes::Bytes) -> Result<(), Error> {
        if let Some(sink) = &self.sink
            && sink.push(chunk).await
        {
            return Ok(());
        }
        // The sink has ended early and has the reason.
        match self.digest().await {
            Ok(_) => Err(self.io(std::io::ErrorKind::BrokenPipe.into())),
            Err(error) => Err(error),
        }
    }

    async fn digest(&mut self) -> Result<[u8; 32], Error> {
        match self.sink.take() {
            Some(sink) => sink.finish().await.map_err(|e| self.io(e)),
            None => Err(self.io(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn io(&self, error: std::io::Error) -> Error {
        let partial = self.partial.lock().unwrap_or_else(PoisonError::into_inner);
        Error::io("write", partial.path(), error)
    }

    /// All bytes are there: checks them, and puts them in place.
    async fn finish(&mut self) -> Result<Downloaded, Error> {
        let url = self
            .latest
            .url
            .clone()
            .unwrap_or_else(|| self.exchange.url.clone());
        let sha256 = self.digest().await?;
        let size = self.done;
        if let Some(expected) = self.what.expect_size.filter(|expected| *expected != size) {
            return Err(Error::LengthMismatch {
                url: redact(&url),
                expected,
                actual: size,
            });
        }
        if let Some(expected) = self
            .what
            .expect_sha256
            .filter(|expected| *expected != sha256)
        {
            return Err(Error::DigestMismatch {
                url: redact(&url),
                expected: hex::encode(expected),
                actual: hex::encode(sha256),
            });
        }
        let into = self.what.into.to_owned();
        self.disk(move |partial| partial.publish(&into, size, sha256))
            .await?;
        Ok(Downloaded {
            size,
            sha256,
            final_url: without_query(&url),
            content_type: self.latest.content_type.take(),
            etag: self.latest.etag.take(),
        })
    }

    fn show(&mut self) {
        if let Some(total) = self.known.total.or(self.what.expect_size) {
            self.task.set_total(total);
        }
        self.task.set(self.done);
    }

    /// Does something with the unfinished file where it may block.
    async fn disk<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Partial) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let partial = Arc::clone(&self.partial);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut partial.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await
            .map_err(|e| Error::io("write", self.what.into, e.into()))?
    }
}

fn is_html(content_type: Option<&str>) -> bool {
    let essence = content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim();
    ["text/html", "application/xhtml+xml"]
        .iter()
        .any(|html| essence.eq_ignore_ascii_case(html))
}

/// Servers also label pages as binary.
fn looks_like_html(start: &[u8]) -> bool {
    let start = start
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(start)
        .trim_ascii_start();
    [&b"<!doctype html"[..], b"<html"].iter().any(|tag| {
        start
            .get(..tag.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(tag))
    })
}

/// Old servers label compressed files as compressed transfers.
fn is_gzip_file(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    [".gz", ".tgz"].iter().any(|end| path.ends_with(end))
}
