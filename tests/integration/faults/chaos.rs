//! A test with faults: users send messages while connections fail and servers are killed and restarted; an audit follows.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use netra::protocol::ConnectionId;
use rand::RngExt;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    audit::Log,
    client_recorder::ClientRecorder,
    plan::{Fault, Operation, Plan, Targets},
    proxy::{Flow, Proxy},
    users::{Ledger, SimulatedUser},
};
use crate::support::{Account, Backends, Deployment, Setup, TestServer, disk::SmallDisk, replay_agent};

/// How long a client may take to reconnect to a server that is killed again and again.
const RECONNECT_TIMEOUT: Duration = Duration::from_secs(60);
/// Size of the store's disk: more than these tests write.
const DISK_BYTES: u64 = 2 << 30;
/// Rate of a throttled connection.
const THROTTLED_BYTES_PER_SECOND: usize = 20_000;

/// Servers, simulated users and what was observed.
pub(crate) struct Chaos {
    pub(crate) plan: Plan,
    servers: Vec<Mutex<Option<TestServer>>>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) store_url: String,
    /// The store's disk, if one could be mounted.
    disk: Option<Arc<SmallDisk>>,
    pub(crate) users: Vec<(Account, SimulatedUser)>,
    pub(crate) ledger: Ledger,
    counts: Mutex<BTreeMap<String, u32>>,
    pub(crate) faults: watch::Sender<u32>,
}

/// The result.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) violations: Vec<String>,
    pub(crate) faults: u32,
    pub(crate) acknowledged: usize,
}

impl Chaos {
    /// Starts the servers of one deployment, and users with their clients.
    pub(crate) async fn start(
        deployment: Deployment,
        nodes: usize,
        plan: Plan,
        edit: impl Fn(Setup) -> Setup,
    ) -> Arc<Self> {
        println!("seed {}: {} faults on {nodes} node(s), {deployment:?}", plan.seed, plan.faults);
        // After a long absence, clients get a snapshot with the low limit and every missed entry with the high one.
        let replay_limit = if plan.choices(0).random_bool(0.5) { 50 } else { 100_000 };
        let agent = replay_agent(1_500);
        let disk = SmallDisk::mount(DISK_BYTES).map(Arc::new);
        if disk.is_none() {
            println!("no disk can be mounted here; it is never full");
        }
        let configured = || {
            let setup = Setup::default()
                .with("SOCKET__MAX_CONNECTIONS_PER_USER", 10_000)
                .with("SOCKET__COMMANDS_PER_MINUTE", 1_000_000)
                .with("SOCKET__HEARTBEAT_MS", 2_000)
                .with("SOCKET__HEARTBEAT_TIMEOUT_MS", 2_000)
                .with("SOCKET__REPLAY_LIMIT", replay_limit)
                .with("SERVER__DRAIN_MS", 1_000)
                .with("RUNS__LEASE_MS", 5_000)
                .with("QUOTAS__MIN_FREE_BYTES", 0)
                .with("LOG", "netra=info,warn")
                .disk(disk.clone())
                .file(&agent);
            edit(setup.deployment(deployment))
        };
        let first = configured().start().await;
        let mut servers = vec![first];
        for _ in 1..nodes {
            let backends = servers[0].backends().expect("shared backends").clone();
            servers.push(configured().on(&backends).start_without_accounts().await);
        }
        let store_url = match servers[0].backends() {
            Some(backends) => backends.store_url().to_owned(),
            None => format!("sqlite:{}", servers[0].data().join("netra.db").display()),
        };
        let addresses: Vec<SocketAddr> = servers.iter().map(TestServer::address).collect();
        let (mut users, ledger) = (Vec::new(), Ledger::default());
        for number in 0..plan.users {
            let account = account(number);
            servers[0].add_member(account).await;
            let token = servers[0].token(account).await;
            let mut clients = Vec::new();
            for client in 0..plan.clients {
                let proxy = Proxy::new(addresses[(number + client) % nodes]).await;
                clients.push(ClientRecorder::new(format!("{}'s client {client}", account.name), proxy, token.clone()));
            }
            users.push((account, SimulatedUser::new(clients, ledger.clone(), plan.settle_timeout).await));
        }
        let servers = servers.into_iter().map(|server| Mutex::new(Some(server))).collect();
        let (counts, faults) = (Mutex::default(), watch::Sender::new(0));
        Arc::new(Self { plan, servers, addresses, store_url, disk, users, ledger, counts, faults })
    }

    /// Runs the plan, waits until everything settles, and audits.
    pub(crate) async fn run(self: &Arc<Self>) -> Report {
        let mut injections = JoinSet::new();
        let clients = self.clients().len() as u32;
        for number in 0..clients {
            let share = self.plan.faults / clients + u32::from(number < self.plan.faults % clients);
            injections.spawn(self.clone().inject_faults(number, share));
        }
        injections.spawn(self.clone().run_operations());
        self.run_during(async move {
            while let Some(ended) = injections.join_next().await {
                ended.expect("the task does not panic");
            }
        })
        .await
    }

    /// Runs the users during `scenario`, waits until everything settles, and audits.
    pub(crate) async fn run_during(self: &Arc<Self>, scenario: impl Future<Output = ()>) -> Report {
        let begun = Instant::now();
        let ended = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for (number, (_, user)) in self.users.iter().enumerate() {
            for task in 0..self.plan.tasks_per_user {
                let choices = self.plan.choices(1_000 + number as u64 * self.plan.tasks_per_user + task);
                tasks.spawn(user.clone().act(choices, ended.clone()));
            }
        }
        scenario.await;
        let faults_ended = begun.elapsed();
        ended.store(true, Ordering::SeqCst);
        self.clients().iter().for_each(|client| client.proxy.restore());
        while !tasks.is_empty() {
            self.reconnect_all().await;
            while let Some(task) = tasks.try_join_next() {
                task.expect("the task does not panic");
            }
            sleep(Duration::from_millis(50)).await;
        }
        let users_done = begun.elapsed();
        let unsettled = self.settle().await;
        let settled = begun.elapsed();
        let log = Log::read(&self.store_url).await.expect("the store can be read");
        let mut report = self.audit(&log).await;
        report.violations.extend(unsettled);
        println!(
            "seed {}: {} faults in {:.1} s {:?}; {} entries in {} channels, {} messages acknowledged, {} threads deleted; {} violations; the last run \
             ended at {:.1} s, settled at {:.1} s, {:.1} s in all",
            self.plan.seed,
            report.faults,
            faults_ended.as_secs_f64(),
            self.counts.lock().expect("not poisoned"),
            log.entry_count(),
            log.channels.len(),
            report.acknowledged,
            self.ledger.deleted().len(),
            report.violations.len(),
            users_done.as_secs_f64(),
            settled.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        report
    }

    /// Makes every disconnected client retry now.
    pub(crate) async fn reconnect_all(&self) {
        for client in self.clients() {
            let _ = client.connected(true, Duration::from_millis(500)).await;
        }
    }

    /// The number of messages acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.ledger.acknowledged.lock().expect("not poisoned").len()
    }

    /// Skips the verification of the servers' logs at the end: a deliberate bug breaks them.
    pub(crate) fn skip_log_verification(&self) {
        for server in &self.servers {
            server.lock().expect("not poisoned").as_ref().expect("the program is running").skip_log_verification();
        }
    }

    /// The database and the bus that the servers share.
    pub(crate) fn backends(&self) -> Option<Arc<Backends>> {
        let first = self.servers[0].lock().expect("not poisoned");
        first.as_ref().and_then(|server| server.backends().cloned())
    }

    /// The number of servers.
    pub(crate) fn nodes(&self) -> usize {
        self.servers.len()
    }

    /// Sends new connections of a server's clients to the next server.
    pub(crate) fn redirect_clients_of(&self, node: usize) {
        let (from, to) = (self.addresses[node], self.addresses[(node + 1) % self.addresses.len()]);
        self.clients()
            .iter()
            .filter(|client| client.proxy.target() == from)
            .for_each(|client| client.proxy.set_target(to));
    }

    /// The id of each client's connection.
    pub(crate) fn connection_ids(&self) -> Vec<Option<ConnectionId>> {
        self.clients().iter().map(|client| client.connection_id()).collect()
    }

    pub(crate) fn clients(&self) -> Vec<Arc<ClientRecorder>> {
        self.users.iter().flat_map(|(_, user)| user.clients.clone()).collect()
    }

    /// Injects this many faults into one client's connection.
    async fn inject_faults(self: Arc<Self>, number: u32, share: u32) {
        let client = self.clients()[number as usize].clone();
        let mut choices = self.plan.choices(2_000 + u64::from(number));
        for _ in 0..share {
            let (pause, retry_now) = (choices.random_range(0..250), choices.random_bool(0.97));
            let (fault, node) = (Fault::choose(&mut choices), choices.random_range(0..self.addresses.len() * 2));
            sleep(Duration::from_millis(pause)).await;
            if !client.connected(retry_now, RECONNECT_TIMEOUT).await {
                return self
                    .ledger
                    .violation(format!("{} did not reconnect within {RECONNECT_TIMEOUT:?}", client.name));
            }
            if let Some(address) = self.addresses.get(node) {
                client.proxy.set_target(*address);
            }
            inject(&client, fault).await;
            self.count(fault.kind());
            self.faults.send_modify(|faults| *faults += 1);
        }
    }

    /// Performs an operation after every [`Plan::faults_per_operation`] faults.
    async fn run_operations(self: Arc<Self>) {
        let mut choices = self.plan.choices(3_000);
        let targets = Targets { shared: self.backends().is_some(), disk: self.disk.is_some() };
        let mut faults = self.faults.subscribe();
        for round in 1..=self.plan.faults / self.plan.faults_per_operation {
            let operation = Operation::choose(&mut choices, targets);
            let node = choices.random_range(0..self.servers.len());
            let due = faults.wait_for(|faults| *faults >= (round * self.plan.faults_per_operation).saturating_sub(20));
            if timeout(RECONNECT_TIMEOUT * 3, due).await.is_err() {
                return self.ledger.violation(format!("no {operation}: the faults stopped"));
            }
            self.perform(node, operation).await;
        }
    }

    /// Performs an operation on a server or on what the servers share.
    pub(crate) async fn perform(&self, node: usize, operation: Operation) {
        let backends = self.backends();
        let server = || self.servers[node].lock().expect("not poisoned").take().expect("the program is running");
        let put_back = |server| *self.servers[node].lock().expect("not poisoned") = Some(server);
        match (operation, backends) {
            (Operation::Kill, _) => put_back(server().kill().await.restart().await),
            (Operation::Restart, _) => {
                let (code, stopped) = server().stop().await;
                if code != Some(0) {
                    self.ledger.violation(format!("a stopped server ended with {code:?}"));
                }
                put_back(stopped.restart().await);
            }
            (Operation::Freeze(time), _) => {
                let server = server();
                server.signal("STOP");
                sleep(time).await;
                server.signal("CONT");
                put_back(server);
            }
            (Operation::StoreDown(time), Some(backends)) => {
                let mut postgres = backends.postgres.lock().await;
                postgres.stop().await;
                sleep(time).await;
                postgres.restart().await;
            }
            (Operation::BusDown(time), Some(backends)) => {
                let mut nats = backends.nats.lock().await;
                nats.stop().await;
                sleep(time).await;
                nats.restart().await;
            }
            (Operation::DiskFull(time), _) => {
                let disk = self.disk.as_ref().expect("disk-full is only chosen with a disk");
                disk.fill();
                sleep(time).await;
                disk.make_room();
            }
            (other, None) => panic!("{other}: nothing is shared"),
        }
        self.count(operation.to_string());
    }

    fn count(&self, what: String) {
        *self.counts.lock().expect("not poisoned").entry(what).or_default() += 1;
    }
}

/// The account of a user.
fn account(number: usize) -> Account {
    let text = |text: String| -> &'static str { text.leak() };
    Account {
        email: text(format!("user{number}@example.com")),
        name: text(format!("User {number}")),
        password: "a password for tests",
    }
}

async fn inject(client: &ClientRecorder, fault: Fault) {
    let proxy = &client.proxy;
    match fault {
        Fault::Reset => drop(proxy.cut()),
        Fault::HalfOpen(time) => {
            proxy.set(Flow::Stop, Flow::Stop);
            sleep(time).await;
            proxy.cut();
        }
        Fault::Stalled(time) => {
            proxy.set(Flow::Stop, Flow::Stop);
            sleep(time).await;
        }
        Fault::UplinkStalled(time) => {
            proxy.set(Flow::Stop, Flow::Pass);
            sleep(time).await;
        }
        Fault::DownlinkStalled(time) => {
            proxy.set(Flow::Pass, Flow::Stop);
            sleep(time).await;
        }
        Fault::Delayed(time) => {
            proxy.set(Flow::Delay(time / 4), Flow::Delay(time / 4));
            sleep(time).await;
        }
        Fault::Throttled(time) => {
            proxy.set(Flow::Throttle(THROTTLED_BYTES_PER_SECOND), Flow::Throttle(THROTTLED_BYTES_PER_SECOND));
            sleep(time).await;
        }
        Fault::Reload => client.reload().await,
        Fault::SlowReader(time) => {
            client.set_slow(true);
            sleep(time).await;
            client.set_slow(false);
        }
    }
    proxy.restore();
}
