"""LlamaIndex, served by llama-index-protocols-ag-ui.

`python llamaindex_app.py PORT MODEL_URL` serves `/run`, and `/team`, an agent with a sub-agent that is a tool.
"""

import sys

import uvicorn
from fastapi import FastAPI
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.workflow import Context
from llama_index.llms.openai_like import OpenAILike
from llama_index.protocols.ag_ui.router import (
    AGUIWorkflowRouter,
    get_ag_ui_workflow_router,
    get_default_workflow_factory,
)

port, model_url = int(sys.argv[1]), sys.argv[2]
model = OpenAILike(
    model="scripted", api_base=model_url, api_key="none", max_retries=0, is_chat_model=True,
    is_function_calling_model=True,
)


def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def remember(ctx: Context, fact: str) -> str:
    """Keeps a fact."""
    state = await ctx.store.get("state", default={})
    await ctx.store.set("state", {**state, "facts": [*state.get("facts", []), fact]})
    return f"kept {fact}"


async def researcher(request: str) -> str:
    """Asks the researcher."""
    agent = FunctionAgent(name="researcher", llm=model, tools=[weather], system_prompt="Find out.")
    return str(await agent.run(user_msg=request))


team = get_default_workflow_factory(
    llm=model, backend_tools=[researcher], system_prompt="Let the researcher find out."
)

app = FastAPI()
app.include_router(
    get_ag_ui_workflow_router(llm=model, backend_tools=[weather, remember], system_prompt="Answer briefly.")
)
# The router's own path is always `/run`.
app.add_api_route("/team", AGUIWorkflowRouter(team).run, methods=["POST"])

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
