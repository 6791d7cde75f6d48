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
    frameworks::model::Model,
    remote::harness::{RemoteHarness, config},
    support::{TEST_TIMEOUT, free_port, python},
};

/// How long the packages may take to install.
const INSTALL_TIMEOUT: Duration = Duration::from_secs(600);

/// A running application and the model that it uses. Killed when dropped.
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

    /// A thread of Netra whose agent is the one at `path`.
    pub(crate) async fn harness(&self, path: &str) -> RemoteHarness {
        // Only agno asks a question by leaving a call without a result.
        let changes = json!({"confirm_pending_calls": self.name == "agno"});
        RemoteHarness::with_config(&config(&format!("{}{path}", self.url), &changes)).await
    }

    /// Kills it.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.expect("the process is killed");
    }

    /// Starts it again at the same address, without its state in memory.
    pub(crate) async fn restart(&mut self) {
        self.process = spawn(self.name, self.port, &self.model.url).await;
    }
}

async fn spawn(name: &'static str, port: u16, model: &str) -> process::Child {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/frameworks");
    let requirements = folder.join(format!("requirements/{name}.txt"));
    let requirements = std::fs::read_to_string(requirements).expect("the requirements");
    let environment = spawn_blocking(move || python::environment(&format!("framework-{name}"), &requirements));
    let programs = timeout(INSTALL_TIMEOUT, environment)
        .await
        .expect("the packages are installed in time")
        .expect("the task does not panic");
    let mut command = process::Command::new(programs.join("python"));
    command.arg(folder.join(format!("apps/{name}_app.py"))).arg(port.to_string()).arg(model);
    // Frameworks send telemetry and look for models' keys.
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
    let mut process = command.kill_on_drop(true).spawn().expect("Python starts");
    let listens = async {
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let ended = process.try_wait().expect("the process state is read");
            assert!(ended.is_none(), "the application {name} ended; its output is above");
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(TEST_TIMEOUT, listens).await.unwrap_or_else(|_| panic!("the application {name} listens in time"));
    process
}
