//! Tool sources as administrators see them, on the real program.

use netra::protocol::http::{AdminTools, Consent};

use super::*;
use crate::support::{ADA, ADMIN, Setup, problem};

#[tokio::test]
async fn a_wrong_source_is_shown_to_administrators_and_the_server_starts() {
    let file = "[[tools]]\nid = \"far\"\nkind = \"mcp\"\nurl = \"https://tools.example.org/mcp\"\n\
                headers = { Authorization = \"Bearer of-nobody\" }\n\
                [[tools]]\nid = \"unset\"\nkind = \"mcp\"\ncommand = \"x\"\nenv = { KEY = \"${NETRA_NOT_SET}\" }\n\
                [[tools]]\nid = \"wrong\"\nkind = \"mcp\"\nuri = \"https://tools.example.org/mcp\"\n\
                [[tools]]\nid = \"data\"\nkind = \"builtin\"\nconsent = { default = \"ask\" }\n";
    let server = Setup::default().file(file).start().await;
    server.add_member(ADA).await;
    problem(server.signed_in(ADA).await.get("/api/admin/tools").await, 403, "forbidden").await;
    let text = server.signed_in(ADMIN).await.get("/api/admin/tools").await.text().await.expect("a text");
    assert!(!text.contains("of-nobody"), "{text}");
    let shown: AdminTools = serde_json::from_str(&text).expect("sources");
    let state = |id: &str| shown.sources.iter().find(|source| source.id == id).expect("a source").state.clone();
    assert_eq!(state("far"), ToolSourceState::Idle);
    let reason = |id: &str| match state(id) {
        ToolSourceState::Disabled { reason } => reason,
        state => panic!("{id} is {state:?}"),
    };
    assert_eq!(reason("unset"), "the variable NETRA_NOT_SET is not set");
    assert!(reason("wrong").contains("unknown field `uri`"), "{}", reason("wrong"));
    let ToolSourceState::Ready { tools, left_out: 0 } = state("data") else { panic!("{:?}", state("data")) };
    assert!(tools.len() >= 8 && tools.iter().all(|tool| tool.consent == Consent::Ask));
}
