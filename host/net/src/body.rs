//! Reading a body at a bearable pace.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use url::Url;

use crate::config::Config;
use crate::error::{Error, TimeoutKind};
use crate::exchange::{Answer, Deadline};
use crate::policy::redact;
use crate::transport::broken;

/// The body of an answer.
pub(crate) struct Body<'a> {
    answer: Answer,
    config: &'a Config,
    deadline: Deadline,
    /// How many bytes of this body came.
    pub(crate) received: u64,
    /// How long the server was waited for, and what came meanwhile, since the last look. Time
    /// that the disk took does not count.
    waited: Duration,
    meanwhile: u64,
}

impl<'a> Body<'a> {
    pub(crate) fn new(answer: Answer, config: &'a Config, deadline: Deadline) -> Self {
        Self {
            answer,
            config,
            deadline,
            received: 0,
            waited: Duration::ZERO,
            meanwhile: 0,
        }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.answer.url
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let idle = self.config.idle_timeout;
        let start = Instant::now();
        let chunk = self
            .deadline
            .wait(
                self.answer.response.chunk(),
                idle,
                &self.answer.url,
                TimeoutKind::Idle,
            )
            .await?
            .map_err(|error| broken(error, &self.answer.url, self.received))?;
        let Some(chunk) = chunk else {
            return Ok(None);
        };
        self.received += chunk.len() as u64;
        self.meanwhile += chunk.len() as u64;
        self.waited += start.elapsed();
        if self.waited >= idle {
            let least = self.config.min_rate as f64 * self.waited.as_secs_f64();
            if (self.meanwhile as f64) < least {
                return Err(Error::Timeout {
                    url: redact(&self.answer.url),
                    kind: TimeoutKind::Slow,
                    limit: idle,
                });
            }
            self.waited = Duration::ZERO;
            self.meanwhile = 0;
        }
        Ok(Some(chunk))
    }
}
