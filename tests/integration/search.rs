//! Search over threads, on both databases.

use std::time::Duration;

use netra::{
    protocol::{
        AddMember, CreateThread, DeleteThread, EditQueued, LeaveThread, MemberRole, MessageId, RenameThread, RunId,
        SendMessage, TakeBack, ThreadEntry, ThreadId, UserId,
        agui::{
            Event, ReasoningMessageContent, ReasoningMessageEnd, ReasoningMessageStart, ReasoningRole, RunFinished,
            RunStarted, TextMessageContent, TextMessageEnd, TextMessageStart,
        },
        http::{SearchHit, SearchHitKind, SearchPage, User},
    },
    server::{
        channel::{Channels, Trimming},
        clock::now_ms,
        search::{ChangedThreads, Indexer, Query, find},
        threads,
    },
};
use reqwest::StatusCode;
use tokio::time::{sleep, timeout};

use crate::support::{
    ADMIN, Account, Client, Deployment, Setup, TEST_TIMEOUT, problem,
    store::{TestStore, on_both_engines},
};

const BOB: Account = Account { email: "bob@example.com", name: "Bob", password: "bob's own password" };

/// A node with one user's threads.
struct Library<'a> {
    test_store: &'a TestStore,
    channels: Channels,
}

impl<'a> Library<'a> {
    async fn on(test_store: &'a TestStore) -> Self {
        Self { test_store, channels: test_store.node().await.0 }
    }

    fn user(&self) -> &User {
        &self.test_store.user
    }

    async fn thread(&self, title: &str) -> ThreadId {
        let command = CreateThread { thread_id: ThreadId::new(), title: Some(title.into()), agent: None };
        threads::create(&self.channels, self.user(), &command, "script").await.expect("the thread is created").id
    }

    async fn send(&self, thread: ThreadId, text: &str) -> (MessageId, RunId) {
        let command = SendMessage::new(thread, text);
        let sent = threads::send(&self.channels, self.user(), &command, None, |_| Ok("script".into())).await;
        (command.message_id, sent.expect("the message is accepted").accepted.run_id)
    }

    /// Appends a run's events.
    async fn append(&self, thread: ThreadId, run_id: RunId, events: Vec<Event>) {
        let entry = |event| ThreadEntry::Agent { run_id, event: Box::new(event) };
        let entries: Vec<ThreadEntry> = events.into_iter().map(entry).collect();
        let seq = self.channels.append(thread, run_id, &entries).await.expect("the entries are appended");
        assert!(seq.is_some(), "the run is open");
    }

    /// Answers a message with a text in several pieces, after some reasoning.
    async fn answer(&self, thread: ThreadId, run: RunId, text: &str) {
        let mut events: Vec<Event> = vec![
            RunStarted::new(thread, run).into(),
            ReasoningMessageStart::new("r", ReasoningRole::Reasoning).into(),
            ReasoningMessageContent::new("r", "hidden thoughts").into(),
            ReasoningMessageEnd::new("r").into(),
            TextMessageStart::new("m").into(),
        ];
        events.extend(text.split_inclusive(' ').map(|piece| Event::from(TextMessageContent::new("m", piece))));
        events.extend([Event::from(TextMessageEnd::new("m")), RunFinished::new(thread, run).into()]);
        self.append(thread, run, events).await;
        let mut tx = self.channels.begin().await.expect("the transaction begins");
        let update =
            sqlx::query("UPDATE runs SET ended_at = $2 WHERE id = $1").bind(run.to_string()).bind(now_ms() - 1);
        update.execute(tx.sql()).await.expect("the statement succeeds");
        tx.commit().await.expect("the transaction commits");
    }

    async fn index(&self) {
        let indexer = Indexer::new(self.channels.clone(), ChangedThreads::default());
        indexer.index_all().await.expect("everything is indexed");
    }

    async fn find_as(&self, owner: UserId, text: &str) -> Vec<SearchHit> {
        let Some(query) = Query::parse(text) else { return Vec::new() };
        find(self.channels.store(), owner, query, 50, None).await.expect("the store is searched").hits
    }

    async fn find(&self, text: &str) -> Vec<SearchHit> {
        self.find_as(self.user().id, text).await
    }

    /// The excerpts of what is found, with the matches in brackets.
    async fn excerpts(&self, text: &str) -> Vec<String> {
        let excerpt = |hit: SearchHit| -> String {
            let part = |part: netra::protocol::http::ExcerptPart| {
                if part.matched { format!("[{}]", part.text) } else { part.text }
            };
            hit.excerpt.into_iter().map(part).collect()
        };
        self.find(text).await.into_iter().map(excerpt).collect()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.channels.store().reader()).await.expect("the rows are counted")
    }
}

/// Waits until what is sent next is newer than what was sent before.
async fn next_millisecond() {
    let now = now_ms();
    while now_ms() <= now {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn titles_messages_and_answers_are_found() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        let thread = library.thread("Coffee in Lisbon").await;
        let (message, run) = library.send(thread, "Which coffee is roasted lightly?").await;
        library.index().await;
        assert!(library.find("ethiopian").await.is_empty());
        library.answer(thread, run, "Many Ethiopian coffees are.").await;
        library.index().await;
        let hits = library.find("coff").await;
        let found: Vec<_> = hits.iter().map(|hit| (hit.kind, hit.message_id, hit.run_id)).collect();
        use SearchHitKind::{Answer, Message, Title};
        let expected = [(Title, None, None), (Answer, Some(message), Some(run)), (Message, Some(message), Some(run))];
        assert_eq!(found, expected, "titles first, then the newest");
        assert!(hits.iter().all(|hit| hit.thread_id == thread && hit.title == "Coffee in Lisbon"));
        assert!(hits.iter().all(|hit| hit.at <= now_ms() && hit.at > now_ms() - 24 * 3600 * 1000));
        assert_eq!(library.excerpts("many ethiop").await, ["[Many] [Ethiopian] coffees are."]);
        assert!(library.find("thoughts").await.is_empty(), "reasoning is not searched");
        assert!(library.find("coffee tea").await.is_empty(), "all words must occur");
    })
    .await;
}

#[tokio::test]
async fn better_matches_come_first_and_newer_ones_among_equals() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        let thread = library.thread("A thread").await;
        for text in ["red big one", "big reddish", "big red", "red, then big", "bigred"] {
            library.send(thread, text).await;
            next_millisecond().await;
        }
        library.index().await;
        let found = library.excerpts("big red").await;
        assert_eq!(found, ["[big] [red]", "[red], then [big]", "[red] [big] one", "[big] [reddish]"]);
        library.thread("Big and red").await;
        library.index().await;
        assert_eq!(library.excerpts("big red").await[0], "[Big] and [red]");
    })
    .await;
}

#[tokio::test]
async fn texts_of_other_people_are_never_found() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        let thread = library.thread("Our secret plan").await;
        library.send(thread, "A secret for nobody else").await;
        library.index().await;
        assert_eq!(library.find("secret").await.len(), 2);
        assert!(library.find_as(UserId::new(), "secret").await.is_empty());
        // Not even if the name of their part of the index is typed.
        let owner = library.user().id.to_string().replace('-', "");
        for text in [format!("_m{owner}"), format!("_t{owner}"), format!("\" OR _m{owner} OR \"")] {
            assert!(library.find_as(UserId::new(), &text).await.is_empty(), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_renamed_deleted_or_taken_back_is_not_found() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        let (channels, user) = (&library.channels, library.user());
        let thread_id = library.thread("Walnuts").await;
        let (message_id, _) = library.send(thread_id, "Pistachios").await;
        library.index().await;
        let rename = RenameThread { thread_id, title: "Hazelnuts".into() };
        threads::rename(channels, user, &rename).await.expect("the thread is renamed");
        library.index().await;
        assert!(library.find("walnuts").await.is_empty());
        assert_eq!(library.find("hazelnuts").await.len(), 1);
        let take_back = TakeBack { thread_id, message_id };
        threads::take_back(channels, user, &take_back).await.expect("the message is taken back");
        assert!(library.find("pistachios").await.is_empty(), "at once");
        library.index().await;
        assert!(library.find("pistachios").await.is_empty());
        let (message_id, _) = library.send(thread_id, "Almonds").await;
        let take_back = TakeBack { thread_id, message_id };
        threads::take_back(channels, user, &take_back).await.expect("the message is taken back");
        library.index().await;
        assert!(library.find("almonds").await.is_empty(), "it was taken back before it was indexed");
        let (message_id, _) = library.send(thread_id, "Cashews").await;
        library.index().await;
        let edit = EditQueued { thread_id, message_id, text: "Peanuts".into(), attachments: None };
        threads::edit_queued(channels, user, &edit).await.expect("the message is changed");
        library.index().await;
        assert!(library.find("cashews").await.is_empty() && library.find("peanuts").await.len() == 1);
        threads::delete(channels, user, &DeleteThread { thread_id }).await.expect("the thread is deleted");
        assert!(library.find("hazelnuts").await.is_empty(), "at once");
        library.index().await;
        for sql in ["SELECT COUNT(*) FROM search_texts", "SELECT COUNT(*) FROM search_progress"] {
            assert_eq!(library.count(sql).await, 0, "{sql}");
        }
    })
    .await;
}

#[tokio::test]
async fn members_find_what_is_in_threads_that_are_shared_with_them() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        let (channels, owner) = (&library.channels, library.user());
        let [member, stranger] = [test_store.add_user("Member").await, test_store.add_user("Stranger").await];
        let [shared, other] = [library.thread("Shared walnuts").await, library.thread("Other walnuts").await];
        for thread in [shared, other] {
            library.send(thread, "Where do walnuts grow?").await;
        }
        let command = CreateThread { thread_id: ThreadId::new(), title: Some("My walnuts".into()), agent: None };
        let own = threads::create(channels, &member, &command, "script").await.expect("the thread is created").id;
        library.index().await;
        let found = async |user: UserId| -> Vec<ThreadId> {
            library.find_as(user, "walnuts").await.into_iter().map(|hit| hit.thread_id).collect()
        };
        assert_eq!(found(member.id).await, [own]);
        let add = AddMember { thread_id: shared, user_id: member.id, role: MemberRole::Read };
        threads::add_member(channels, owner, &add).await.expect("the thread is shared");
        assert_eq!(found(member.id).await, [own, shared, shared], "titles first, with the thread's message");
        assert_eq!(found(owner.id).await.len(), 4);
        assert_eq!(found(stranger.id).await, []);

        // Page by page, too.
        let query = || Query::parse("walnuts").expect("it has a word");
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = find(channels.store(), member.id, query(), 1, after).await.expect("the store is searched");
            pages.extend(page.hits.into_iter().map(|hit| hit.thread_id));
            match page.next {
                Some(next) => after = Some(next.parse().expect("a place")),
                None => break,
            }
        }
        assert_eq!(pages, [own, shared, shared]);

        let leave = LeaveThread { thread_id: shared };
        threads::leave(channels, &member, &leave).await.expect("the member leaves");
        assert_eq!(found(member.id).await, [own]);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_not_kept_is_not_found_and_a_compacted_one_is() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        let thread = library.thread("Trees").await;
        for (text, answer) in [("Oaks?", "Acorns grow there."), ("Firs?", "Cones grow there.")] {
            let (_, run) = library.send(thread, text).await;
            library.answer(thread, run, answer).await;
        }
        let trimming = |keep_for| Trimming { compact_after: Duration::ZERO, keep_for, keep_bytes: None };
        library.channels.trim(&trimming(None)).await.expect("the log is trimmed");
        library.index().await;
        assert_eq!(library.find("grow there").await.len(), 2);
        library.channels.trim(&trimming(Some(Duration::ZERO))).await.expect("the log is trimmed");
        for text in ["grow", "oaks", "firs"] {
            assert!(library.find(text).await.is_empty(), "{text}");
        }
        assert_eq!(library.find("trees").await.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_store_that_was_never_indexed_is_indexed_once_even_by_two_nodes_at_a_time() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        for number in 0..20 {
            library.thread(&format!("Small thread {number}")).await;
        }
        let thread = library.thread("Large thread").await;
        for number in 0..150 {
            let (_, run) = library.send(thread, &format!("Question {number}")).await;
            library.answer(thread, run, &format!("Reply {number}")).await;
        }
        let other = Library::on(test_store).await;
        tokio::join!(library.index(), other.index());
        let texts = "SELECT COUNT(*) FROM search_texts";
        assert_eq!(library.count(texts).await, 20 + 1 + 300);
        assert_eq!(library.find("reply 149").await.len(), 1);
        assert_eq!(library.find("\"question 0\"").await.len(), 1);
        library.index().await;
        assert_eq!(library.count(texts).await, 321, "the second time changes nothing");
    })
    .await;
}

#[tokio::test]
async fn accents_scripts_quotes_and_operators_are_understood_or_harmless() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        let thread = library.thread("A thread").await;
        for text in [
            "Crème brûlée AND Straße",
            "東京タワーは高い",
            "say \"hello there\" to: col*umn (NEAR) it's 50% \\ off",
            "한국어를 배워요",
        ] {
            library.send(thread, text).await;
        }
        library.index().await;
        for (query, found) in [
            ("creme BRULEE", 1),
            ("strasse", 1),
            ("京タ", 1),
            ("タ京", 0),
            ("高", 1),
            ("한국", 1),
            ("\"hello there\"", 1),
            ("\"there hello\"", 0),
            ("there hello", 1),
            ("\"hello the", 1),
            ("and", 1),
            ("it's", 1),
            ("NEAR(hello there)", 0),
            ("near hello", 1),
        ] {
            assert_eq!(library.find(query).await.len(), found, "{query}");
        }
        let operators =
            "AND OR NOT \" * : a\"*b words:hello -hello ^hello {a}: hello') '|'x !hello <-> \\ \0 ( h*l a'::tsquery";
        for query in operators.split(' ').chain(["hello AND", "a <-> b", "NOT hello"]) {
            library.find(query).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_text_that_postgresql_cannot_store_or_index_whole_is_found() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        let thread = library.thread("A thread").await;
        let (_, run) = library.send(thread, "Go").await;
        let words: String = (0..40_000).map(|number| format!("word{number} ")).collect();
        library.append(thread, run, vec![RunStarted::new(thread, run).into(), TextMessageStart::new("m").into()]).await;
        for piece in ["nul\0byte ", words.as_str()] {
            library.append(thread, run, vec![TextMessageContent::new("m", piece).into()]).await;
        }
        let end: Vec<Event> = vec![TextMessageEnd::new("m").into(), RunFinished::new(thread, run).into()];
        library.append(thread, run, end).await;
        library.index().await;
        assert_eq!(library.find("nul byte word0").await.len(), 1);
        assert_eq!(library.find("word5000").await.len(), 1);
        assert!(library.find("word39999").await.is_empty(), "beyond the limit");
    })
    .await;
}

#[tokio::test]
async fn pages_have_each_hit_once_while_others_are_added() {
    on_both_engines(async |test_store| {
        let library = Library::on(test_store).await;
        let thread = library.thread("Apples and pears").await;
        let mut sent = Vec::new();
        for number in 0..45 {
            let text = if number % 3 == 0 { "apples" } else { "applesauce" };
            sent.push(Some(library.send(thread, text).await.0));
        }
        library.index().await;
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let query = Query::parse("apples").expect("it has words");
            let page = find(library.channels.store(), library.user().id, query, 10, after).await;
            let SearchPage { hits, next } = page.expect("the store is searched");
            seen.extend(hits.iter().map(|hit| hit.message_id));
            let Some(next) = next else { break };
            assert_eq!(hits.len(), 10);
            after = Some(next.parse().expect("a place"));
            next_millisecond().await;
            library.send(thread, "apples, but later").await;
            library.index().await;
        }
        assert_eq!((seen.len(), seen[0]), (46, None), "the title is the first");
        sent.push(None);
        seen.sort_unstable();
        sent.sort_unstable();
        assert_eq!(seen, sent);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_finds_what_was_sent_and_refuses_what_it_cannot_search() {
    for deployment in [Deployment::Embedded, Deployment::Distributed] {
        let server = Setup::default().deployment(deployment).start().await;
        server.add_member(BOB).await;
        let browser = server.signed_in(ADMIN).await;
        let socket = server.socket(ADMIN).await;
        let thread_id = ThreadId::new();
        let create = CreateThread { thread_id, title: Some("Gardens of Kyoto".into()), agent: None };
        socket.send(create).await.expect("the thread is created");
        socket.send(SendMessage::new(thread_id, "How old is the moss?")).await.expect("the message is accepted");
        let search = async |client: &Client, query: &str| {
            let answer = client.get(&format!("/api/search?q={query}")).await;
            assert_eq!(answer.status(), StatusCode::OK);
            answer.json::<SearchPage>().await.expect("a page").hits
        };
        let found = async {
            while search(&browser, "moss").await.is_empty() || search(&browser, "kyo").await.is_empty() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(TEST_TIMEOUT, found).await.expect("it is found in time");
        assert_eq!(search(&browser, "gardens%20kyoto").await[0].thread_id, thread_id);
        assert!(search(&browser, "***").await.is_empty());
        assert!(search(&server.signed_in(BOB).await, "moss").await.is_empty(), "other people do not find it");
        let long = format!("q={}", "a".repeat(201));
        for wrong in ["q=", "q=%20", long.as_str(), "q=a&limit=0", "q=a&limit=51", "q=a&after=b"] {
            problem(browser.get(&format!("/api/search?{wrong}")).await, 422, "invalid_payload").await;
        }
        problem(browser.get("/api/search").await, 400, "bad_request").await;
        problem(Client::new(&server).get("/api/search?q=moss").await, 401, "unauthorized").await;
    }
}
