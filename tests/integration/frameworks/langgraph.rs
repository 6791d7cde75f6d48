//! The conversations of this folder with LangGraph, through ag-ui-langgraph.

use serde_json::json;

use crate::frameworks::{
    conversation::Step,
    scenario::{Framework, conversations},
};

const FRAMEWORK: Framework = Framework {
    name: "langgraph",
    path: "/",
    team: Some("/team"),
    with_default_settings: Some(("/default", Step::Command)),
    answer: Step::Answer,
    answers: [|| json!("yes"), || json!("no")],
    stops_model_on_disconnect: false,
    accepts_message_as_answer: true,
};

conversations! { FRAMEWORK:
    three_turns_with_a_tool_reach_the_model_as_they_do_without_netra
    its_state_is_kept_and_sent_back
    a_thread_with_more_than_1_mib_of_restated_state_continues
    a_user_says_yes_no_or_something_else_and_the_thread_continues
    a_sub_agents_answer_is_used_and_the_next_turn_succeeds
    a_run_is_stopped_and_the_thread_continues
    the_text_of_a_killed_application_is_kept_and_the_thread_continues
    the_text_sent_by_a_killed_server_is_kept_and_the_thread_continues
}
