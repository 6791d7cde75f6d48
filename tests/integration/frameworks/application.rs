//! An application of a framework: a Python program of `apps`, with the packages of `requirements`.

use std::{path::Path, time::Duration};

use serde_json::json;
use tokio::{
    net::TcpStream,
    process,
    task::spawn_blocking,
    time::{sleep, timeout},
};

use crate::{
    frameworks::{PATIENCE, model::Model},
    remote::house::{House, config},
    support::{free_port, python},
};

/// How long packages may take to come.
const INSTALL: Duration = Duration::from_secs(600);

/// The application and the model that it asks, for as long as a test lives.
pub(crate) struct Application {
    pub(crate) model: Model,
    pub(crate) url: String,
    name: &'static str,
    port: u16,
    process: process::Child,
}

impl Application {
    pub(crate) async fn start(name: &'static str) -> Self {
        let (model, port) = (Model::start().await, free_port());
        let process = spawn(name, port, &model.url).await;
        Self { model, url: format!("http://127.0.0.1:{port}"), name, port, process }
    }

    /// A thread of Netra's whose agent is the one at `path`.
    pub(crate) async fn house(&self, path: &str) -> House {
        // Of the frameworks here only agno leaves a call without a result and means a question by it.
        let changes = json!({"confirm_pending_calls": self.name == "agno"});
        House::with(&config(&format!("{}{path}", self.url), &changes)).await
    }

    /// Ends it as a power cut would.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("killed");
    }

    /// Starts it again at the same address, with nothing of what it kept in memory.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(self.name, self.port, &self.model.url).await;
    }
}

async fn spawn(name: &'static str, port: u16, model: &str) -> process::Child {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/frameworks");
    let requirements = folder.join(format!("requirements/{name}.txt"));
    let requirements = std::fs::read_to_string(requirements).expect("the requirements");
    let environment = spawn_blocking(move || python::environment(&format!("framework-{name}"), &requirements));
    let programs = timeout(INSTALL, environment).await.expect("the packages come in time").expect("no panic");
    let mut command = process::Command::new(programs.join("python"));
    command.arg(folder.join(format!("apps/{name}_app.py"))).arg(port.to_string()).arg(model);
    // Frameworks tell their makers that they are used, and look for models' keys.
    for (variable, value) in [
        ("OPENAI_API_KEY", "none"),
        ("OTEL_SDK_DISABLED", "true"),
        ("CREWAI_DISABLE_TELEMETRY", "true"),
        ("CREWAI_DISABLE_TRACKING", "true"),
        ("AGNO_TELEMETRY", "false"),
        ("LITELLM_LOCAL_MODEL_COST_MAP", "true"),
        ("no_proxy", "127.0.0.1"),
        ("PYTHONDONTWRITEBYTECODE", ""),
    ] {
        command.env(variable, value);
    }
    // CrewAI keeps paused flows there.
    command.env("XDG_DATA_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("framework-data"));
    let mut process = command.kill_on_drop(true).spawn().expect("python starts");
    let listens = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let ended = process.try_wait().expect("can be asked");
            assert!(ended.is_none(), "the application {name} ended; what it said is above");
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, listens).await.unwrap_or_else(|_| panic!("the application {name} listens in time"));
    process
}
