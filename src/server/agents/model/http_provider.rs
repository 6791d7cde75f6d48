//! [`ModelProvider`] over HTTP: sends a request in the format of the provider's API, and reads the answer.
//!
//! Guarantees: redirects are not followed, since they would take the key elsewhere; without `allow_private_network`, no address of this
//! host or a private network is connected to; errors do not contain the key; every buffer is bounded. Thoughts that a model writes
//! into its text are separated from it.

use std::{error::Error as StdError, fmt, io, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::{
    Client, Response, Url,
    header::{HeaderMap, RETRY_AFTER},
    redirect::Policy,
};

use super::{
    answer_reader::{self, ReadOptions},
    apis::{self, ApiRequest, Settings},
    error::ModelError,
    provider::{ModelEvent, ModelMessage, ModelProvider, ModelRequest, ModelStream},
    thoughts::Thoughts,
};
use crate::server::{
    config::agents::{ModelConfig, Provider, ReasoningEffort},
    outbound::address::{self, PublicOnly, Refused},
};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of one event; one of OpenAI's Responses API repeats the whole answer.
const MAX_EVENT_BYTES: usize = 8 * 1024 * 1024;
/// The most bytes of a refusal that are read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// Where a model is and how it is called: its provider, name, address and settings.
#[derive(Clone)]
pub struct Target {
    /// The API of its provider.
    pub provider: Provider,
    /// The model's name there.
    pub model: String,
    /// The API's address; `None`: the provider's own.
    pub base_url: Option<String>,
    /// The key; `None`: the provider needs none.
    pub api_key: Option<String>,
    /// How much it reasons, if it can; `None`: the provider's default.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Whether its answers begin inside a thought.
    pub starts_with_reasoning: bool,
    /// Whether it may be on this host or in a private network.
    pub allow_private_network: bool,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("provider", &self.provider).field("model", &self.model).finish_non_exhaustive()
    }
}

/// A model behind an API over HTTP.
#[derive(Debug, Clone)]
pub struct HttpProvider {
    client: Client,
    base_url: Url,
    target: Target,
}

impl HttpProvider {
    /// A client for `target`. It connects with the first request.
    ///
    /// # Errors
    /// A sentence that says why the address may not be used, or why the HTTP client cannot be made.
    pub fn new(target: Target) -> Result<Self, String> {
        let base_url = target.base_url.as_deref().unwrap_or(target.provider.default_base_url());
        let base_url = Url::parse(base_url).map_err(|error| error.to_string())?;
        if target.base_url.is_some() && !target.allow_private_network {
            address::check(&base_url).map_err(|refused| refused.to_string())?;
        }
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).redirect(Policy::none());
        // A proxy would resolve names without checking what they resolve to.
        let client = if target.allow_private_network { client } else { client.no_proxy().dns_resolver(PublicOnly) };
        let client = client.build().map_err(|error| error.to_string())?;
        Ok(Self { client, base_url, target })
    }

    /// The model that an agent's configuration names; `variables` looks up the environment variables in its key.
    ///
    /// # Errors
    /// The key of the configuration that is wrong, and why.
    pub fn from_config(config: &ModelConfig, variables: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let api_key = config.api_key.as_ref().map(|key| key.resolve(variables)).transpose();
        Self::new(Target {
            provider: config.provider,
            model: config.model.clone(),
            base_url: config.base_url.clone(),
            api_key: api_key.map_err(|problem| format!("api_key: {problem}"))?,
            reasoning_effort: config.reasoning_effort,
            starts_with_reasoning: config.starts_with_reasoning,
            allow_private_network: config.allow_private_network.unwrap_or(true),
        })
        .map_err(|error| format!("base_url: {error}"))
    }

    fn request(&self, request: &ModelRequest) -> ApiRequest {
        let settings = Settings {
            provider: self.target.provider,
            model: &self.target.model,
            base_url: &self.base_url,
            api_key: self.target.api_key.as_deref(),
            reasoning_effort: self.target.reasoning_effort,
        };
        apis::request(settings, request, is_signed(&request.messages))
    }

    /// Sends a request. The answer has begun when this returns.
    async fn send(&self, ApiRequest { url, headers, body }: ApiRequest) -> Result<Response, ModelError> {
        let request =
            headers.into_iter().fold(self.client.post(url), |request, (name, value)| request.header(name, value));
        let response = request.json(&body).send().await.map_err(|error| connect_error(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = start_of_body(response).await;
        Err(ModelError::from_status(status, &body, retry_after, self.target.api_key.as_deref()))
    }

    fn read(&self, response: Response) -> ModelStream {
        let options = ReadOptions {
            decoder: apis::decoder(self.target.provider),
            secret: self.target.api_key.clone(),
            max_bytes: MAX_EVENT_BYTES,
            too_long: ModelError::TooLong { what: "8 MiB in one piece".into() },
        };
        let answer = answer_reader::read(options, response.bytes_stream().map_err(io::Error::other));
        // Models whose thoughts are signed write none into their text.
        let may_write_thoughts =
            !matches!(self.target.provider, Provider::Anthropic | Provider::Gemini | Provider::OpenAiResponses);
        let mut thoughts = may_write_thoughts.then(|| Thoughts::new(self.target.starts_with_reasoning));
        let (provider, model) = (self.provider().to_owned(), self.target.model.clone());
        answer
            .flat_map(move |event| stream::iter(separate(thoughts.as_mut(), event)))
            .map_ok(move |mut event| {
                if let ModelEvent::End(end) = &mut event
                    && let Some(usage) = &mut end.usage
                {
                    (usage.provider, usage.model) = (Some(provider.clone()), Some(model.clone()));
                }
                event
            })
            .boxed()
    }
}

#[async_trait]
impl ModelProvider for HttpProvider {
    fn provider(&self) -> &str {
        self.target.provider.name()
    }

    fn model(&self) -> &str {
        &self.target.model
    }

    async fn stream(&self, request: ModelRequest) -> Result<ModelStream, ModelError> {
        let (provider, request) = (self.clone(), self.request(&request));
        let answer = async move {
            match provider.send(request).await {
                Ok(response) => provider.read(response),
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        Ok(stream::once(answer).flatten().boxed())
    }
}

/// Separates thoughts from the text of an event.
fn separate(
    thoughts: Option<&mut Thoughts>,
    event: Result<ModelEvent, ModelError>,
) -> Vec<Result<ModelEvent, ModelError>> {
    match (thoughts, event) {
        (Some(thoughts), Ok(ModelEvent::Text(text))) => thoughts.read(&text).into_iter().map(Ok).collect(),
        (thoughts, event) => thoughts.and_then(Thoughts::flush).map(Ok).into_iter().chain([event]).collect(),
    }
}

/// Whether the calls since the last message of a person still have the reasoning that their provider signed.
fn is_signed(messages: &[ModelMessage]) -> bool {
    let is_unsigned = |message: &ModelMessage| matches!(message, ModelMessage::Assistant { calls, provider_state: None, .. } if !calls.is_empty());
    let newest = messages.iter().rev().take_while(|message| !matches!(message, ModelMessage::User { .. }));
    !newest.into_iter().any(is_unsigned)
}

/// The error of a request without an answer.
fn connect_error(error: &reqwest::Error) -> ModelError {
    let mut causes = std::iter::successors(Some(error as &(dyn StdError + 'static)), |error| (*error).source());
    match causes.find_map(|cause| cause.downcast_ref::<Refused>()) {
        Some(refused) => ModelError::Address { refused: refused.to_string() },
        None => ModelError::Connect,
    }
}

/// The start of a body, up to the limit or an error.
async fn start_of_body(mut response: Response) -> String {
    let mut body = Vec::new();
    while body.len() < MAX_REFUSAL_BYTES
        && let Ok(Some(piece)) = response.chunk().await
    {
        body.extend_from_slice(&piece);
    }
    body.truncate(MAX_REFUSAL_BYTES);
    String::from_utf8_lossy(&body).into_owned()
}

/// `Retry-After` in seconds or as a date, or `retry-after-ms`.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?;
    Duration::try_from(at.timestamp() - jiff::Timestamp::now()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_each_form() {
        let read = |name: &'static str, value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(read("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(read("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert!(read("retry-after", "Fri, 01 Jan 2100 00:00:00 GMT") > Some(Duration::from_secs(3600)));
        assert_eq!(read("retry-after", "soon"), None);
        assert_eq!(read("retry-after", "-5"), None);
    }
}
