"""CrewAI, served by ag-ui-crewai: a flow that calls a model and its tools.

`python crewai_app.py PORT MODEL_URL` serves `/`, which reports interrupts as the outcome of a run; `/default`, with the
adapter's default settings; and `/team`, a flow with a crew that is a tool.
"""

import asyncio
import json
import sys
from contextvars import Context

import uvicorn
from ag_ui_crewai import (
    CopilotKitState,
    add_crewai_flow_fastapi_endpoint,
    agui_feedback_provider,
    copilotkit_emit_state,
    copilotkit_emit_tool_result,
    copilotkit_stream,
)
from crewai import LLM, Agent, Crew, Task
from crewai.flow.flow import Flow, listen, router, start
from crewai.flow.human_feedback import HumanFeedbackResult, human_feedback
from crewai.tools import tool as crew_tool
from fastapi import FastAPI
from litellm import acompletion

port, model_url = int(sys.argv[1]), sys.argv[2]


def tool(name: str, argument: str, description: str) -> dict:
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = [
    tool("weather", "city", "The weather in a city."),
    tool("remember", "fact", "Keeps a fact."),
    tool("send_mail", "to", "Sends a mail, once a person allowed it."),
]


@crew_tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"sunny in {city}"


async def research(request: str) -> str:
    """What a crew of one agent finds out."""
    model = LLM(model="openai/scripted", base_url=model_url, api_key="none", max_retries=0)
    researcher = Agent(role="Researcher", goal="Find out.", backstory="Finds out.", llm=model, tools=[weather])
    task = Task(description=request, expected_output="A short answer.", agent=researcher)
    crew = Crew(agents=[researcher], tasks=[task])
    # In the flow's context, the crew's calls would be sent as the flow's own and restated before the first answer, so the model would
    # get them in another order than without Netra.
    return (await asyncio.create_task(crew.akickoff(), context=Context())).raw


class State(CopilotKitState):
    """What the conversation and the page share."""

    facts: list[str] = []


class Assistant(Flow[State]):
    """Asks the model until it calls no tool; a person allows a mail before it is sent."""

    tools: list[dict] = TOOLS

    def call(self) -> tuple[str, str, dict]:
        """The call that the model made last."""
        call = self.state.messages[-1]["tool_calls"][0]
        return call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])

    async def ask(self) -> str:
        response = await copilotkit_stream(
            await acompletion(
                model="openai/scripted", api_base=model_url, api_key="none", max_retries=0,
                messages=[{"role": "system", "content": "Answer briefly."}, *self.state.messages],
                tools=self.tools, stream=True,
            )
        )
        message = response.choices[0].message.model_dump(exclude_none=True)
        self.state.messages.append(message)
        if not message.get("tool_calls"):
            return "done"
        return "mail" if self.call()[1] == "send_mail" else "tool"

    async def answer(self, result: str) -> str:
        call = self.call()[0]
        self.state.messages.append({"role": "tool", "tool_call_id": call, "content": result})
        await copilotkit_emit_tool_result(tool_call_id=call, content=result)
        return await self.ask()

    @start()
    def begin(self):
        pass

    @router(begin)
    async def first(self) -> str:
        return await self.ask()

    @router("tool")
    async def carry_out(self) -> str:
        _, name, arguments = self.call()
        if name == "remember":
            self.state.facts.append(arguments["fact"])
            await copilotkit_emit_state(self.state)
            return await self.answer(f"kept {arguments['fact']}")
        if name == "researcher":
            return await self.answer(await research(arguments["request"]))
        return await self.answer(f"sunny in {arguments['city']}")

    @listen("mail")
    @human_feedback(message="Send the mail?", provider=agui_feedback_provider)
    def send_mail(self) -> str:
        return self.call()[2]["to"]

    @router(send_mail)
    async def sent(self, feedback: HumanFeedbackResult) -> str:
        allowed = "true" in str(feedback.feedback).lower() or "yes" in str(feedback.feedback).lower()
        to = self.call()[2]["to"]
        return await self.answer(f"mail sent to {to}" if allowed else f"not sent to {to}")


team = Assistant(tools=[tool("researcher", "request", "Asks the researcher.")])

app = FastAPI()
add_crewai_flow_fastapi_endpoint(app, Assistant(), "/", emit_interrupt_outcome=True)
add_crewai_flow_fastapi_endpoint(app, Assistant(), "/default")
add_crewai_flow_fastapi_endpoint(app, team, "/team")

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
