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
    default: None,
    answer: Step::Result,
    answers: [|| answer(true), || answer(false)],
    stops_its_model: true,
    goes_on_without_netra: false,
};

/// As Netra sends it, in the words of every framework that takes the result of a call for an answer.
fn answer(yes: bool) -> serde_json::Value {
    json!({"approved": yes, "accepted": yes, "confirmed": yes})
}

conversations! { slow FRAMEWORK:
    three_turns_with_a_tool_reach_the_model_as_they_do_without_netra
    its_state_is_kept_and_given_back
    a_person_says_yes_no_or_something_else_and_the_thread_goes_on
    a_sub_agents_answer_comes_back_and_the_next_turn_goes_on
    a_run_is_stopped_and_the_thread_goes_on
    what_was_said_before_it_was_killed_is_kept_and_the_thread_goes_on
    what_was_seen_before_the_server_was_killed_is_kept_and_the_thread_goes_on
}
