"""The official Python facilitator over HTTP, wired as its documentation does: `python official_facilitator.py PORT`."""

import os
import sys

import uvicorn
from fastapi import FastAPI, Request

from x402 import x402Facilitator
from x402.mechanisms.evm import FacilitatorWeb3Signer
from x402.mechanisms.evm.exact import register_exact_evm_facilitator
from x402.schemas import PaymentPayload, PaymentRequirements

app = FastAPI()
facilitator = x402Facilitator()
signer = FacilitatorWeb3Signer(private_key=os.environ["RELAYER_PRIVATE_KEY"], rpc_url=os.environ["RPC_URL"])
register_exact_evm_facilitator(facilitator, signer, networks=os.environ["NETWORK"])


@app.post("/verify")
async def verify(request: Request) -> dict:
    body = await request.json()
    answer = await facilitator.verify(
        PaymentPayload.model_validate(body["paymentPayload"]),
        PaymentRequirements.model_validate(body["paymentRequirements"]),
    )
    return answer.model_dump(by_alias=True, exclude_none=True)


@app.post("/settle")
async def settle(request: Request) -> dict:
    body = await request.json()
    answer = await facilitator.settle(
        PaymentPayload.model_validate(body["paymentPayload"]),
        PaymentRequirements.model_validate(body["paymentRequirements"]),
    )
    return answer.model_dump(by_alias=True, exclude_none=True)


@app.get("/supported")
async def supported() -> dict:
    return facilitator.get_supported().model_dump(by_alias=True, exclude_none=True)


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
