//! Multipart forms with a limit that the parser does not have: it buffers the header of a field, however long that is.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use axum::{
    body::{Body, Bytes},
    extract::{
        FromRequest, Multipart, Request,
        multipart::{Field, MultipartError, MultipartRejection},
    },
    http::StatusCode,
};
use futures_util::StreamExt;

use crate::{protocol::http::Problem, server::problem::problem};

/// The most that is read before the next field begins, in bytes: the rest of the field before and the header.
const MAX_BYTES_BETWEEN_FIELDS: u64 = 1 << 20;

/// A form whose fields are read one after the other.
#[derive(Debug)]
pub(super) struct Form {
    form: Multipart,
    budget: Arc<ReadBudget>,
}

/// How many more bytes may be read.
#[derive(Debug)]
struct ReadBudget {
    left: AtomicU64,
    exceeded: AtomicBool,
}

impl ReadBudget {
    fn take(&self, chunk: Result<Bytes, axum::Error>) -> Result<Bytes, axum::Error> {
        let chunk = chunk?;
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(chunk.len() as u64));
        if taken.is_err() {
            self.exceeded.store(true, Ordering::Relaxed);
            return Err(axum::Error::new("too much before the next field"));
        }
        Ok(chunk)
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = MultipartRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, MultipartRejection> {
        let budget = Arc::new(ReadBudget { left: AtomicU64::new(u64::MAX), exceeded: AtomicBool::new(false) });
        let counted = budget.clone();
        let request =
            request.map(|body| Body::from_stream(body.into_data_stream().map(move |chunk| counted.take(chunk))));
        Ok(Self { form: Multipart::from_request(request, state).await?, budget })
    }
}

impl Form {
    /// The next field; the rest of the field before is skipped.
    ///
    /// # Errors
    /// `too_large` if it does not begin within [`MAX_BYTES_BETWEEN_FIELDS`]; `bad_request` if the form is malformed.
    pub(super) async fn next_field(&mut self) -> Result<Option<Field<'_>>, Problem> {
        self.budget.left.store(MAX_BYTES_BETWEEN_FIELDS, Ordering::Relaxed);
        match self.form.next_field().await {
            Ok(field) => {
                self.budget.left.store(u64::MAX, Ordering::Relaxed);
                Ok(field)
            }
            Err(_) if self.budget.exceeded.load(Ordering::Relaxed) => {
                let detail = format!(
                    "more than {MAX_BYTES_BETWEEN_FIELDS} bytes of the form come before the file: send the file first, with a shorter header"
                );
                Err(problem(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail))
            }
            Err(error) => Err(malformed(&error)),
        }
    }
}

/// The problem of a form that cannot be read.
pub(super) fn malformed(error: &MultipartError) -> Problem {
    let code = if error.status() == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "bad_request" };
    problem(error.status(), code, format!("the form could not be read: {}", error.body_text()))
}
