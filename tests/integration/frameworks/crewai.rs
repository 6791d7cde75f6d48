//! CrewAI through ag-ui-crewai.

use serde_json::json;

use crate::frameworks::{
    conversation::Step,
    scenario::{Framework, conversations},
};

const FRAMEWORK: Framework = Framework {
    name: "crewai",
    path: "/",
    team: Some("/team"),
    default: Some(("/default", Step::Answer)),
    answer: Step::Answer,
    answers: [|| json!("yes"), || json!("no")],
    stops_its_model: true,
    goes_on_without_netra: true,
};

conversations! { slow FRAMEWORK:
    three_turns_with_a_tool_reach_the_model_as_they_do_without_netra
    its_state_is_kept_and_given_back
    a_person_says_yes_no_or_something_else_and_the_thread_goes_on
    a_sub_agents_answer_comes_back_and_the_next_turn_goes_on
    a_run_is_stopped_and_the_thread_goes_on
    what_was_said_before_it_was_killed_is_kept_and_the_thread_goes_on
    what_was_seen_before_the_server_was_killed_is_kept_and_the_thread_goes_on
}
