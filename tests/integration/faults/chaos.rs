//! A run of faults: people at work, each client's connection hurt again and again, servers killed and restarted, and the
//! audit at the end.

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
    people::{Ledger, Someone},
    plan::{Fault, Operation, Plan, Suffering},
    proxy::{Flow, Proxy},
    witness::Witness,
};
use crate::support::{Backends, Engine, Person, Setup, TestServer, disk::SmallDisk, recorded};

/// How long a client may take to be back, with a server that is killed again and again.
const BACK: Duration = Duration::from_secs(60);
/// Bytes of the store's disk: more than anything here writes.
const DISK: u64 = 2 << 30;
/// Bytes a second on a thin road.
const THIN: usize = 20_000;

/// Servers, people and what is known of them.
pub(crate) struct Chaos {
    pub(crate) plan: Plan,
    servers: Vec<Mutex<Option<TestServer>>>,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) store_url: String,
    /// The store's own, where one could be mounted.
    disk: Option<Arc<SmallDisk>>,
    pub(crate) people: Vec<(Person, Someone)>,
    pub(crate) ledger: Ledger,
    counts: Mutex<BTreeMap<String, u32>>,
    pub(crate) faults: watch::Sender<u32>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) wrongs: Vec<String>,
    pub(crate) faults: u32,
    pub(crate) acknowledged: usize,
}

impl Chaos {
    /// Starts so many servers on one engine, with people who have clients.
    pub(crate) async fn begin(engine: Engine, nodes: usize, plan: Plan, edit: impl Fn(Setup) -> Setup) -> Arc<Self> {
        println!("seed {}: {} faults on {nodes} node(s), {engine:?}", plan.seed, plan.faults);
        // Clients that were away for long get a state, or all that they missed.
        let replay_limit = if plan.choices(0).random_bool(0.5) { 50 } else { 100_000 };
        let agent = recorded(1_500);
        let disk = SmallDisk::mount(DISK).map(Arc::new);
        if disk.is_none() {
            println!("no disk can be mounted here: it is never full");
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
            edit(setup.engine(engine))
        };
        let first = configured().start().await;
        let mut servers = vec![first];
        for _ in 1..nodes {
            let backends = servers[0].backends().expect("many nodes share a store").clone();
            servers.push(configured().on(&backends).empty().await);
        }
        let store_url = match servers[0].backends() {
            Some(backends) => backends.store_url().to_owned(),
            None => format!("sqlite:{}", servers[0].data().join("netra.db").display()),
        };
        let addresses: Vec<SocketAddr> = servers.iter().map(TestServer::address).collect();
        let (mut people, ledger) = (Vec::new(), Ledger::default());
        for number in 0..plan.people {
            let person = person(number);
            servers[0].add(person).await;
            let token = servers[0].token(person).await;
            let mut clients = Vec::new();
            for client in 0..plan.clients {
                let proxy = Proxy::to(addresses[(number + client) % nodes]).await;
                clients.push(Witness::new(format!("{}'s client {client}", person.name), proxy, token.clone()));
            }
            people.push((person, Someone::new(clients, ledger.clone(), plan.patience).await));
        }
        let servers = servers.into_iter().map(|server| Mutex::new(Some(server))).collect();
        let (counts, faults) = (Mutex::default(), watch::Sender::new(0));
        Arc::new(Self { plan, servers, addresses, store_url, disk, people, ledger, counts, faults })
    }

    /// Runs the plan to its end, lets everything settle, and looks.
    pub(crate) async fn run(self: &Arc<Self>) -> Outcome {
        let mut troubles = JoinSet::new();
        let clients = self.clients().len() as u32;
        for number in 0..clients {
            let share = self.plan.faults / clients + u32::from(number < self.plan.faults % clients);
            troubles.spawn(self.clone().trouble(number, share));
        }
        troubles.spawn(self.clone().operate());
        self.live_through(async move {
            while let Some(ended) = troubles.join_next().await {
                ended.expect("no panic");
            }
        })
        .await
    }

    /// People live while something happens; then everything settles, and is looked at.
    pub(crate) async fn live_through(self: &Arc<Self>, what: impl Future<Output = ()>) -> Outcome {
        let begun = Instant::now();
        let over = Arc::new(AtomicBool::new(false));
        let mut lives = JoinSet::new();
        for (number, (_, someone)) in self.people.iter().enumerate() {
            for life in 0..self.plan.lives {
                let choices = self.plan.choices(1_000 + number as u64 * self.plan.lives + life);
                lives.spawn(someone.clone().live(choices, over.clone()));
            }
        }
        what.await;
        let hurt = begun.elapsed();
        over.store(true, Ordering::SeqCst);
        self.clients().iter().for_each(|client| client.proxy.heal());
        while !lives.is_empty() {
            self.all_back().await;
            while let Some(ended) = lives.try_join_next() {
                ended.expect("no panic");
            }
            sleep(Duration::from_millis(50)).await;
        }
        let lived = begun.elapsed();
        let unsettled = self.settle().await;
        let settled = begun.elapsed();
        let log = Log::read(&self.store_url).await.expect("the store can be read");
        let mut outcome = self.audit(&log).await;
        outcome.wrongs.extend(unsettled);
        println!(
            "seed {}: {} faults in {:.1} s {:?}; {} entries in {} channels, {} messages acknowledged, {} threads deleted; {} wrong; the last run \
             ended at {:.1} s, settled at {:.1} s, {:.1} s in all",
            self.plan.seed,
            outcome.faults,
            hurt.as_secs_f64(),
            self.counts.lock().expect("not poisoned"),
            log.entries(),
            log.channels.len(),
            outcome.acknowledged,
            self.ledger.deleted().len(),
            outcome.wrongs.len(),
            lived.as_secs_f64(),
            settled.as_secs_f64(),
            begun.elapsed().as_secs_f64()
        );
        outcome
    }

    /// Has every client that is away try again now.
    pub(crate) async fn all_back(&self) {
        for client in self.clients() {
            let _ = client.connected(true, Duration::from_millis(500)).await;
        }
    }

    /// How many messages were acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.ledger.acknowledged.lock().expect("not poisoned").len()
    }

    /// Says that the servers have a bug that spoils the log.
    pub(crate) fn spoil(&self) {
        for server in &self.servers {
            server.lock().expect("not poisoned").as_ref().expect("it runs").spoil();
        }
    }

    /// What the servers share.
    pub(crate) fn backends(&self) -> Option<Arc<Backends>> {
        let first = self.servers[0].lock().expect("not poisoned");
        first.as_ref().and_then(|server| server.backends().cloned())
    }

    /// How many servers there are.
    pub(crate) fn nodes(&self) -> usize {
        self.servers.len()
    }

    /// Leads new connections of a server's clients to the next one.
    pub(crate) fn lead_away_from(&self, node: usize) {
        let (from, to) = (self.addresses[node], self.addresses[(node + 1) % self.addresses.len()]);
        self.clients()
            .iter()
            .filter(|client| client.proxy.target() == from)
            .for_each(|client| client.proxy.lead_to(to));
    }

    /// Each client's connection, as its server calls it.
    pub(crate) fn connection_ids(&self) -> Vec<Option<ConnectionId>> {
        self.clients().iter().map(|client| client.connection_id()).collect()
    }

    pub(crate) fn clients(&self) -> Vec<Arc<Witness>> {
        self.people.iter().flat_map(|(_, someone)| someone.clients.clone()).collect()
    }

    /// Hurts one client's connection so many times.
    async fn trouble(self: Arc<Self>, number: u32, share: u32) {
        let client = self.clients()[number as usize].clone();
        let mut choices = self.plan.choices(2_000 + u64::from(number));
        for _ in 0..share {
            let (pause, hurry) = (choices.random_range(0..250), choices.random_bool(0.97));
            let (fault, elsewhere) = (Fault::choose(&mut choices), choices.random_range(0..self.addresses.len() * 2));
            sleep(Duration::from_millis(pause)).await;
            if !client.connected(hurry, BACK).await {
                return self.ledger.wrong(format!("{} did not come back within {BACK:?}", client.name));
            }
            if let Some(address) = self.addresses.get(elsewhere) {
                client.proxy.lead_to(*address);
            }
            suffer(&client, fault).await;
            self.count(fault.kind());
            self.faults.send_modify(|faults| *faults += 1);
        }
    }

    /// Does something to a server after every so many faults.
    async fn operate(self: Arc<Self>) {
        let mut choices = self.plan.choices(3_000);
        let from = Suffering { shared: self.backends().is_some(), disk: self.disk.is_some() };
        let mut faults = self.faults.subscribe();
        for round in 1..=self.plan.faults / self.plan.operate_every {
            let operation = Operation::choose(&mut choices, from);
            let node = choices.random_range(0..self.servers.len());
            let due = faults.wait_for(|faults| *faults >= (round * self.plan.operate_every).saturating_sub(20));
            if timeout(BACK * 3, due).await.is_err() {
                return self.ledger.wrong(format!("no {operation}: the faults stopped"));
            }
            self.perform(node, operation).await;
        }
    }

    /// Does something to a server, or to what it shares with others.
    pub(crate) async fn perform(&self, node: usize, operation: Operation) {
        let backends = self.backends();
        let server = || self.servers[node].lock().expect("not poisoned").take().expect("it runs");
        let back = |server| *self.servers[node].lock().expect("not poisoned") = Some(server);
        match (operation, backends) {
            (Operation::Kill, _) => back(server().kill().await.restart().await),
            (Operation::Restart, _) => {
                let (code, stopped) = server().stop().await;
                if code != Some(0) {
                    self.ledger.wrong(format!("a stopped server ended with {code:?}"));
                }
                back(stopped.restart().await);
            }
            (Operation::Freeze(time), _) => {
                let server = server();
                server.signal("STOP");
                sleep(time).await;
                server.signal("CONT");
                back(server);
            }
            (Operation::StoreAway(time), Some(backends)) => {
                let mut postgres = backends.postgres.lock().await;
                postgres.stop().await;
                sleep(time).await;
                postgres.restart().await;
            }
            (Operation::BusAway(time), Some(backends)) => {
                let mut nats = backends.nats.lock().await;
                nats.stop().await;
                sleep(time).await;
                nats.restart().await;
            }
            (Operation::DiskFull(time), _) => {
                let disk = self.disk.as_ref().expect("it is chosen where there is one");
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

/// Somebody with an account.
fn person(number: usize) -> Person {
    let text = |text: String| -> &'static str { text.leak() };
    Person {
        email: text(format!("person{number}@example.com")),
        name: text(format!("Person {number}")),
        password: "a password for tests",
    }
}

async fn suffer(client: &Witness, fault: Fault) {
    let proxy = &client.proxy;
    match fault {
        Fault::Cut => drop(proxy.cut()),
        Fault::HalfOpen(time) => {
            proxy.set(Flow::Stop, Flow::Stop);
            sleep(time).await;
            proxy.cut();
        }
        Fault::Silence(time) => {
            proxy.set(Flow::Stop, Flow::Stop);
            sleep(time).await;
        }
        Fault::Deaf(time) => {
            proxy.set(Flow::Stop, Flow::Pass);
            sleep(time).await;
        }
        Fault::Mute(time) => {
            proxy.set(Flow::Pass, Flow::Stop);
            sleep(time).await;
        }
        Fault::Late(time) => {
            proxy.set(Flow::Delay(time / 4), Flow::Delay(time / 4));
            sleep(time).await;
        }
        Fault::Thin(time) => {
            proxy.set(Flow::Throttle(THIN), Flow::Throttle(THIN));
            sleep(time).await;
        }
        Fault::Reload => client.reload().await,
        Fault::Slow(time) => {
            client.set_slow(true);
            sleep(time).await;
            client.set_slow(false);
        }
    }
    proxy.heal();
}
