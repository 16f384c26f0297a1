//! Bodies of responses, with a minimum rate.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use url::Url;

use crate::config::Config;
use crate::error::{Error, TimeoutKind};
use crate::exchange::{Deadline, FinalResponse};
use crate::policy::redact;
use crate::transport::broken;

/// The body of a response.
pub(crate) struct Body<'a> {
    response: FinalResponse,
    config: &'a Config,
    deadline: Deadline,
    /// How many bytes of this body came.
    pub(crate) received: u64,
    /// The time spent waiting for the server and the bytes received since the last check of the rate.
    /// Time spent on the disk does not count.
    waited: Duration,
    meanwhile: u64,
}

impl<'a> Body<'a> {
    pub(crate) fn new(response: FinalResponse, config: &'a Config, deadline: Deadline) -> Self {
        Self {
            response,
            config,
            deadline,
            received: 0,
            waited: Duration::ZERO,
            meanwhile: 0,
        }
    }

    pub(crate) fn url(&self) -> &Url {
        &self.response.url
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let idle = self.config.idle_timeout;
        let start = Instant::now();
        let chunk = self
            .deadline
            .wait(
                self.response.http.chunk(),
                idle,
                &self.response.url,
                TimeoutKind::Idle,
            )
            .await?
            .map_err(|error| broken(error, &self.response.url, self.received))?;
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
                    url: redact(&self.response.url),
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
