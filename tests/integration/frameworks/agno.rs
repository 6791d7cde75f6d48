//! agno through the AG-UI interface of its AgentOS.

use serde_json::json;

use crate::frameworks::{
    conversation::Step,
    scenario::{Framework, conversations},
};

const FRAMEWORK: Framework = Framework {
    name: "agno",
    path: "/agui",
    team: Some("/team/agui"),
    with_default_settings: None,
    answer: Step::Result,
    answers: [|| answer(true), || answer(false)],
    stops_model_on_disconnect: true,
    accepts_message_as_answer: false,
};

/// The content that Netra sends to frameworks that take the result of a call as the answer.
fn answer(yes: bool) -> serde_json::Value {
    json!({"approved": yes, "accepted": yes, "confirmed": yes})
}

conversations! { slow FRAMEWORK:
    three_turns_with_a_tool_reach_the_model_as_they_do_without_netra
    its_state_is_kept_and_sent_back
    a_user_says_yes_no_or_something_else_and_the_thread_continues
    a_sub_agents_answer_is_used_and_the_next_turn_succeeds
    a_run_is_stopped_and_the_thread_continues
    the_text_of_a_killed_application_is_kept_and_the_thread_continues
    the_text_sent_by_a_killed_server_is_kept_and_the_thread_continues
}
