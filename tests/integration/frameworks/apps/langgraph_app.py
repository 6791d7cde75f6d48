"""LangGraph, served by ag-ui-langgraph.

`python langgraph_app.py PORT MODEL_URL` serves `/`, which reports interrupts as the outcome of a run; `/default`, with the
adapter's default settings; and `/team`, an agent with a sub-agent.
"""

import sys
from typing import Annotated

import uvicorn
from ag_ui_langgraph import LangGraphAgent, add_langgraph_fastapi_endpoint
from fastapi import FastAPI
from langchain.agents import create_agent
from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import InjectedToolCallId, tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import Command, interrupt

port, model_url = int(sys.argv[1]), sys.argv[2]
model = ChatOpenAI(model="scripted", base_url=model_url, api_key="none", max_retries=0)


def add_new_facts(known: list[str], received: list[str]) -> list[str]:
    """Adds the facts that are new: the caller sends all known facts with every run."""
    return known + [fact for fact in received if fact not in known]


class State(MessagesState):
    """What the conversation and the page share."""

    facts: Annotated[list[str], add_new_facts]
    document: str


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


@tool
def remember(fact: str, call_id: Annotated[str, InjectedToolCallId]) -> Command:
    """Keeps a fact."""
    return Command(update={"facts": [fact], "messages": [ToolMessage(f"kept {fact}", tool_call_id=call_id)]})


@tool
def send_mail(to: str) -> str:
    """Sends a mail, once a person allowed it."""
    answer = interrupt(f"Send a mail to {to}?")
    allowed = answer is True or answer == "yes" or isinstance(answer, dict) and answer.get("approved") is True
    return f"mail sent to {to}" if allowed else f"not sent to {to}"


@tool
def read_document(name: str) -> str:
    """A long document."""
    return f"{name}: " + "all work and no play " * 30_000


def build_graph(tools: list, prompt: str):
    async def call_model(state: State):
        messages: list[AnyMessage] = [SystemMessage(prompt), *state["messages"]]
        return {"messages": [await model.bind_tools(tools).ainvoke(messages)]}

    graph = StateGraph(State)
    graph.add_node("model", call_model)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=InMemorySaver())


graph = build_graph([weather, remember, send_mail, read_document], "Answer briefly.")
researcher = create_agent(model, [weather], system_prompt="Find out.", name="researcher")


@tool
async def task(description: str, subagent_type: str) -> str:
    """Gives a task to a sub-agent: the researcher."""
    result = await researcher.ainvoke({"messages": [HumanMessage(description)]})
    return result["messages"][-1].content


team = create_agent(
    model, [task], system_prompt="Let the researcher find out.", name="team", checkpointer=InMemorySaver()
)

app = FastAPI()
add_langgraph_fastapi_endpoint(app, LangGraphAgent(name="agent", graph=graph, emit_interrupt_outcome=True), "/")
add_langgraph_fastapi_endpoint(app, LangGraphAgent(name="default", graph=graph), "/default")
add_langgraph_fastapi_endpoint(app, LangGraphAgent(name="team", graph=team, subagent_visibility="attributed"), "/team")

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
