//! The prompt library: who sees, changes and deletes prompts, their limits, and finding them.

use netra::{
    protocol::{
        DeletePrompt, ErrorBody, ErrorCode, Prompt, PromptId, PromptList, SavePrompt,
        limits::{MAX_PROMPT_BYTES, MAX_PROMPT_NAME_CHARS, MAX_PROMPTS},
    },
    socket::native::Client as Socket,
};

use crate::support::{ADA, ADMIN, Account, Client, Deployment, Setup, problem};

const BOB: Account = Account { email: "bob@example.com", name: "Bob", password: "correct horse" };

/// A user of the server.
struct Tester {
    socket: Socket,
    browser: Client,
}

impl Tester {
    async fn save(&self, id: PromptId, name: &str, text: &str, shared: bool) -> Result<(), ErrorBody> {
        let command = SavePrompt { prompt_id: id, name: name.to_owned(), text: text.to_owned(), shared };
        self.socket.send(command).await.map(drop)
    }

    async fn delete(&self, prompt_id: PromptId) -> Result<(), ErrorBody> {
        self.socket.send(DeletePrompt { prompt_id }).await.map(drop)
    }

    async fn list(&self, query: &str) -> PromptList {
        self.browser.get(&format!("/api/prompts{query}")).await.json().await.expect("the prompts")
    }

    /// The names of prompts, with the names of those who wrote them.
    async fn names(&self, query: &str) -> Vec<(String, Option<String>)> {
        let prompts = self.list(query).await.prompts;
        prompts.into_iter().map(|prompt| (prompt.name, prompt.owner.map(|owner| owner.name))).collect()
    }
}

fn own(name: &str) -> (String, Option<String>) {
    (name.to_owned(), None)
}

fn of(account: Account, name: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(account.name.to_owned()))
}

async fn users_see_their_own_and_shared_prompts(deployment: Deployment) {
    let server = Setup::default().deployment(deployment).start().await;
    server.add_member(ADA).await;
    server.add_member(BOB).await;
    let user =
        async |account| Tester { socket: server.socket(account).await, browser: server.signed_in(account).await };
    let (ada, bob, admin) = (user(ADA).await, user(BOB).await, user(ADMIN).await);

    let [private, shared, other] = [PromptId::new(), PromptId::new(), PromptId::new()];
    ada.save(private, " Weekly \n report ", "Write it for {{week}}.", false).await.expect("saved");
    ada.save(shared, "Ärger", &"x".repeat(500), true).await.expect("saved");
    bob.save(other, "Cost 100%", "What does {{x}} cost?", false).await.expect("saved");
    // Again: nothing changes.
    ada.save(private, "Weekly report", "Write it for {{week}}.", false).await.expect("saved");
    assert_eq!(ada.names("").await, [own("Weekly report"), own("Ärger")]);
    assert_eq!(bob.names("").await, [own("Cost 100%"), of(ADA, "Ärger")]);
    let list = bob.list("").await;
    assert_eq!((list.prompts[1].excerpt.len(), list.more), (200, false));

    // Texts of what one sees, and of nothing else.
    let prompt: Prompt = bob.browser.get(&format!("/api/prompts/{shared}")).await.json().await.expect("the prompt");
    assert_eq!((prompt.text.len(), prompt.info.shared), (500, true));
    problem(bob.browser.get(&format!("/api/prompts/{private}")).await, 404, "not_found").await;
    problem(bob.browser.get("/api/prompts/1").await, 404, "not_found").await;

    // Found by a part of the name, in whatever case; what has a meaning in SQL has none here.
    assert_eq!(ada.names("?q=REP").await, [own("Weekly report")]);
    assert_eq!(bob.names("?q=%C3%A4r").await, [of(ADA, "Ärger")]);
    assert_eq!(bob.names("?q=100%25").await, [own("Cost 100%")]);
    assert_eq!(bob.names("?q=_").await, []);
    assert_eq!((bob.names("?limit=1").await, bob.list("?limit=1").await.more), (vec![own("Cost 100%")], true));
    problem(bob.browser.get("/api/prompts?limit=0").await, 422, "invalid_payload").await;
    problem(bob.browser.get("/api/prompts?limit=201").await, 422, "invalid_payload").await;
    problem(bob.browser.get(&format!("/api/prompts?q={}", "x".repeat(201))).await, 422, "invalid_payload").await;

    // Nobody changes another's; administrators delete shared ones.
    let code = |outcome: Result<(), ErrorBody>| outcome.expect_err("it is refused").code;
    assert_eq!(code(bob.save(shared, "Mine", "mine", false).await), ErrorCode::Conflict);
    assert_eq!(code(bob.save(private, "Mine", "mine", false).await), ErrorCode::Conflict);
    assert_eq!(code(bob.delete(shared).await), ErrorCode::Forbidden);
    assert_eq!(code(bob.delete(private).await), ErrorCode::NotFound);
    assert_eq!(code(admin.delete(private).await), ErrorCode::NotFound);
    assert_eq!(ada.names("").await, [own("Weekly report"), own("Ärger")]);
    admin.delete(shared).await.expect("an administrator deletes it");
    admin.delete(shared).await.expect("it is deleted already");
    assert_eq!(bob.names("").await, [own("Cost 100%")]);

    // Changed, and shared later.
    ada.save(private, "weekly REPORT", "For {{week}}.", true).await.expect("saved");
    assert_eq!(bob.names("?q=weekly").await, [of(ADA, "weekly REPORT")]);
    ada.save(private, "weekly REPORT", "For {{week}}.", false).await.expect("saved");
    assert_eq!(bob.names("?q=weekly").await, []);
    // Two users may use one name.
    bob.save(PromptId::new(), "Weekly report", "Mine", false).await.expect("saved");
    assert_eq!(code(bob.save(PromptId::new(), "WEEKLY report", "Mine", false).await), ErrorCode::Conflict);
}

#[tokio::test]
async fn users_see_their_own_and_shared_prompts_on_embedded_parts() {
    users_see_their_own_and_shared_prompts(Deployment::Embedded).await;
}

#[tokio::test]
async fn users_see_their_own_and_shared_prompts_on_postgresql() {
    users_see_their_own_and_shared_prompts(Deployment::Distributed).await;
}

#[tokio::test]
async fn prompts_have_limits() {
    let server = Setup::default().with("SOCKET__COMMANDS_PER_MINUTE", 1_000_000).start().await;
    let admin = Tester { socket: server.socket(ADMIN).await, browser: server.signed_in(ADMIN).await };
    let refused = async |name: &str, text: &str| {
        let error = admin.save(PromptId::new(), name, text, false).await.expect_err("it is refused");
        (error.code, error.message)
    };
    assert_eq!(refused(" ", "text").await.0, ErrorCode::InvalidPayload);
    assert_eq!(refused("a\u{7}b", "text").await.0, ErrorCode::InvalidPayload);
    assert_eq!(refused(&"x".repeat(MAX_PROMPT_NAME_CHARS + 1), "text").await.0, ErrorCode::InvalidPayload);
    assert_eq!(refused("name", " \n").await.0, ErrorCode::InvalidPayload);
    assert_eq!(refused("name", "a\0b").await.0, ErrorCode::InvalidPayload);
    assert_eq!(refused("name", &"x".repeat(MAX_PROMPT_BYTES + 1)).await.0, ErrorCode::InvalidPayload);
    let ids: Vec<PromptId> = (0..MAX_PROMPTS).map(|_| PromptId::new()).collect();
    for (number, id) in ids.iter().enumerate() {
        admin.save(*id, &format!("{number:03}"), &"ä".repeat(MAX_PROMPT_BYTES / 2), false).await.expect("saved");
    }
    let (code, message) = refused("one more", "text").await;
    assert_eq!(code, ErrorCode::QuotaExceeded);
    assert!(message.contains("delete some first"), "{message}");
    admin.save(ids[0], "000", "changed", false).await.expect("an existing one is changed");
    assert_eq!(admin.list("?limit=200").await.prompts.len(), MAX_PROMPTS);
    assert_eq!((admin.list("").await.prompts.len(), admin.list("").await.more), (50, true));
}

#[tokio::test]
async fn without_members_only_administrators_share_prompts() {
    let server = Setup::default().file("[server]\nmembers = false\n").start().await;
    server.add_member(ADA).await;
    let user =
        async |account| Tester { socket: server.socket(account).await, browser: server.signed_in(account).await };
    let (ada, admin) = (user(ADA).await, user(ADMIN).await);
    let refusal = ada.save(PromptId::new(), "Mine", "mine", true).await.expect_err("it is refused");
    assert_eq!(refusal.code, ErrorCode::Forbidden);
    ada.save(PromptId::new(), "Mine", "mine", false).await.expect("it is saved for herself");
    admin.save(PromptId::new(), "Ours", "ours", true).await.expect("it is shared");
    assert_eq!(ada.names("").await, [own("Mine"), of(ADMIN, "Ours")]);
}
