//! Tags of threads: who may set them, their limits, and what lists and search show of them.

use netra::{
    protocol::{
        ArchiveThread, CreateThread, DeleteTag, DeleteThread, ErrorCode, RenameTag, RenameThread, TagId, TagList,
        TagThreads, ThreadId,
        http::{SearchPage, ThreadPage, User},
        limits::{MAX_TAGS, MAX_TAGS_PER_THREAD},
    },
    server::{
        channel::Channels,
        error::Error,
        search::{ChangedThreads, Indexer, Query, find_tagged},
        threads,
    },
    thread::UserFeed,
};

use crate::support::{
    ADA, ADMIN, Setup,
    store::{TestStore, on_both_engines},
};

/// Adds tags to threads and removes some, as a user.
async fn tag(
    channels: &Channels,
    user: &User,
    threads: &[ThreadId],
    add: &[&str],
    remove: &[TagId],
) -> Result<(), Error> {
    let add = add.iter().map(ToString::to_string).collect();
    let command = TagThreads { thread_ids: threads.to_vec(), add, remove: remove.to_vec() };
    threads::tag_threads(channels, user, &command).await
}

fn code(outcome: Result<(), Error>) -> ErrorCode {
    match outcome {
        Err(Error::Refused(refused)) => refused.code,
        other => panic!("it is refused, not {other:?}"),
    }
}

/// The names of a thread's tags, in the feed; the thread's own log, which members read, has none.
async fn names(channels: &Channels, user: &User, thread: ThreadId) -> Vec<String> {
    let feed = channels.feed(user.id).await.expect("the feed is read").1;
    let info = &feed.thread(thread).expect("the thread").info;
    let view = channels.thread(thread).await.expect("the thread is read").1;
    let name = |id: &TagId| feed.tags.iter().find(|tag| tag.id == *id).map(|tag| tag.name.clone());
    assert_eq!(view.info.expect("the thread").tags, []);
    info.tags.iter().filter_map(name).collect()
}

fn id_of(feed: &UserFeed, name: &str) -> TagId {
    feed.tags.iter().find(|tag| tag.name == name).expect("the tag").id
}

/// Names and numbers of threads.
async fn counts(channels: &Channels, user: &User) -> Vec<(String, u64)> {
    let TagList { tags } = threads::tags(channels, user.id).await.expect("the tags are read");
    tags.into_iter().map(|counted| (counted.tag.name, counted.threads)).collect()
}

async fn feed(channels: &Channels, user: &User) -> UserFeed {
    channels.feed(user.id).await.expect("the feed is read").1.as_ref().clone()
}

async fn create(channels: &Channels, store: &TestStore) -> ThreadId {
    store.create_thread(channels).await
}

#[tokio::test]
async fn threads_are_tagged_and_tags_are_renamed_and_deleted_everywhere() {
    on_both_engines(async |store| {
        let [(here, _), (there, _)] = [store.node().await, store.node().await];
        let user = &store.user;
        let [one, two] = [create(&here, store).await, create(&here, store).await];
        tag(&here, user, &[one, two, one], &[" Costs \n of May", "Work"], &[]).await.expect("they are tagged");
        tag(&there, user, &[one], &["work", "Home"], &[]).await.expect("names differ from others in more than case");
        assert_eq!(names(&here, user, one).await, ["Costs of May", "Work", "Home"]);
        assert_eq!(names(&there, user, two).await, ["Costs of May", "Work"]);
        let tags = feed(&here, user).await;
        let before = here.feed(user.id).await.expect("the feed").0;
        tag(&here, user, &[one], &["Work"], &[]).await.expect("the same again");
        assert_eq!(here.feed(user.id).await.expect("the feed").0, before, "changes nothing");
        // What else changes a thread keeps its tags.
        let rename = RenameThread { thread_id: one, title: "Named".into() };
        threads::rename(&there, user, &rename).await.expect("it is renamed");
        tag(&here, user, &[one, two], &[], &[id_of(&tags, "Work")]).await.expect("it is removed");
        assert_eq!(names(&here, user, one).await, ["Costs of May", "Home"]);
        let rename = |tag_id, name: &str| RenameTag { tag_id, name: name.into() };
        let costs = id_of(&tags, "Costs of May");
        let taken = threads::rename_tag(&here, user, &rename(costs, "HOME")).await;
        assert_eq!(code(taken), ErrorCode::Conflict);
        threads::rename_tag(&here, user, &rename(costs, "Money")).await.expect("it is renamed");
        threads::rename_tag(&here, user, &rename(costs, "money")).await.expect("only its case changes");
        assert_eq!(names(&there, user, two).await, ["money"]);
        let all = [("Home".to_owned(), 1), ("money".to_owned(), 2), ("Work".to_owned(), 0)];
        assert_eq!(counts(&here, user).await, all);
        for _ in 0..2 {
            threads::delete_tag(&there, user, &DeleteTag { tag_id: costs }).await.expect("it is deleted");
        }
        threads::rename(&here, user, &RenameThread { thread_id: one, title: "Again".into() }).await.expect("renamed");
        assert_eq!(names(&here, user, one).await, ["Home"]);
        assert_eq!(feed(&here, user).await.thread(one).expect("the thread").info.tags, [id_of(&tags, "Home")]);
        threads::delete(&here, user, &DeleteThread { thread_id: one }).await.expect("it is deleted");
        assert_eq!(counts(&here, user).await, [("Home".to_owned(), 0), ("Work".to_owned(), 0)]);
    })
    .await;
}

#[tokio::test]
async fn tags_have_limits_and_nothing_of_a_refused_command_is_stored() {
    on_both_engines(async |store| {
        let (channels, _) = store.node().await;
        let user = &store.user;
        let thread = create(&channels, store).await;
        for wrong in ["", "  ", &"x".repeat(41), "a\u{1}b"] {
            assert_eq!(code(tag(&channels, user, &[thread], &["fine", wrong], &[]).await), ErrorCode::InvalidPayload);
        }
        tag(&channels, user, &[thread], &[&"ä".repeat(40)], &[]).await.expect("it is short enough");
        assert_eq!(code(tag(&channels, user, &[], &["a"], &[]).await), ErrorCode::InvalidPayload);
        let many: Vec<ThreadId> = (0..101).map(|_| ThreadId::new()).collect();
        assert_eq!(code(tag(&channels, user, &many, &["a"], &[]).await), ErrorCode::InvalidPayload);
        let absent = [thread, ThreadId::new()];
        assert_eq!(code(tag(&channels, user, &absent, &["a"], &[]).await), ErrorCode::NotFound);
        let numbered = |from: usize, to: usize| (from..to).map(|n| format!("tag {n}")).collect::<Vec<_>>();
        let add = numbered(0, MAX_TAGS_PER_THREAD);
        let add: Vec<&str> = add.iter().map(String::as_str).collect();
        assert_eq!(code(tag(&channels, user, &[thread], &add, &[]).await), ErrorCode::QuotaExceeded);
        assert_eq!(counts(&channels, user).await.len(), 1);
        tag(&channels, user, &[thread], &add[1..], &[]).await.expect("as many as a thread may have");
        for from in (MAX_TAGS_PER_THREAD..MAX_TAGS).step_by(MAX_TAGS_PER_THREAD) {
            let thread = create(&channels, store).await;
            let add = numbered(from, from + MAX_TAGS_PER_THREAD);
            let add: Vec<&str> = add.iter().map(String::as_str).collect();
            tag(&channels, user, &[thread], &add, &[]).await.expect("as many as a person may have");
        }
        let thread = create(&channels, store).await;
        assert_eq!(code(tag(&channels, user, &[thread], &["one more"], &[]).await), ErrorCode::QuotaExceeded);
        tag(&channels, user, &[thread], &["TAG 30"], &[]).await.expect("it exists");
        assert_eq!(counts(&channels, user).await.len(), MAX_TAGS);
    })
    .await;
}

#[tokio::test]
async fn search_finds_within_a_tag() {
    on_both_engines(async |store| {
        let (channels, _) = store.node().await;
        let user = &store.user;
        let [one, two] = [create(&channels, store).await, create(&channels, store).await];
        for thread in [one, two] {
            store.create_run(&channels, thread).await;
        }
        tag(&channels, user, &[one], &["Costs"], &[]).await.expect("it is tagged");
        Indexer::new(channels.clone(), ChangedThreads::default()).index_all().await.expect("all is indexed");
        let tags = feed(&channels, user).await;
        let found = async |tag| {
            let query = Query::parse("go on").expect("a query");
            let page = find_tagged(channels.store(), user.id, query, tag, 50, None).await.expect("it is searched");
            let mut found: Vec<ThreadId> = page.hits.into_iter().map(|hit| hit.thread_id).collect();
            found.dedup();
            found.sort_unstable();
            found.dedup();
            found
        };
        assert_eq!(found(None).await, [one, two]);
        assert_eq!(found(Some(id_of(&tags, "Costs"))).await, [one]);
        assert_eq!(found(Some(TagId::new())).await, []);
    })
    .await;
}

#[tokio::test]
async fn lists_are_filtered_by_tag_and_nobody_touches_the_tags_of_others() {
    let server = Setup::default().start().await;
    server.add_member(ADA).await;
    let client = server.signed_in(ADMIN).await;
    let (socket, ada) = (server.socket(ADMIN).await, server.socket(ADA).await);
    let mut ids = Vec::new();
    for n in 0..4 {
        let thread_id = ThreadId::new();
        socket.send(CreateThread { thread_id, title: Some(format!("{n}")), agent: None }).await.expect("created");
        ids.push(thread_id);
    }
    let tagging = |add: &str| TagThreads { thread_ids: ids[..3].to_vec(), add: vec![add.into()], remove: Vec::new() };
    socket.send(tagging("Costs")).await.expect("they are tagged");
    socket.send(ArchiveThread { thread_id: ids[0], archived: true }).await.expect("it is archived");
    let TagList { tags } = client.get("/api/tags").await.json().await.expect("the tags");
    let tag = tags[0].tag.id;
    assert_eq!((tags.len(), tags[0].threads), (1, 3));
    let page = async |path: String| client.get(&path).await.json::<ThreadPage>().await.expect("a page");
    let titles = |page: &ThreadPage| page.threads.iter().map(|thread| thread.info.title.clone()).collect::<Vec<_>>();
    let first = page(format!("/api/threads?tag={tag}&limit=1")).await;
    assert_eq!(titles(&first), ["2"]);
    let older = first.older.expect("there are more");
    assert_eq!(titles(&page(format!("/api/threads?tag={tag}&limit=1&before={older}")).await), ["1"]);
    assert_eq!(titles(&page(format!("/api/threads?tag={tag}&archived=true")).await), ["0"]);
    assert_eq!(titles(&page(format!("/api/threads?tag={}", TagId::new())).await), [] as [&str; 0]);
    let hits = client.get(&format!("/api/search?q=x&tag={tag}")).await.json::<SearchPage>().await.expect("hits");
    assert!(hits.hits.is_empty());
    assert_eq!(client.get("/api/threads?tag=1").await.status(), 400);
    // Ada has no part in it.
    assert_eq!(ada.send(tagging("Mine")).await.expect_err("not hers").code, ErrorCode::NotFound);
    let rename = RenameTag { tag_id: tag, name: "Mine".into() };
    assert_eq!(ada.send(rename).await.expect_err("not hers").code, ErrorCode::NotFound);
    ada.send(DeleteTag { tag_id: tag }).await.expect("she has no such tag");
    let list = server.signed_in(ADA).await.get("/api/tags").await.json::<TagList>().await.expect("her tags");
    assert_eq!(list.tags, []);
    let list = client.get("/api/tags").await.json::<TagList>().await.expect("the tags");
    assert_eq!((list.tags.len(), list.tags[0].threads), (1, 3));
}
