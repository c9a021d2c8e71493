"""What all of a simulator's control faces share: JSON answers, and what is wrong with a request."""

from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from protocols.smpp.text import TextError
from sims.phone_script import RIGHT_SCRIPT, ScriptError

MAX_REQUEST: Final = 256 * 1024


class Wrong(Exception):
    """A request that can't be followed; the text says what would be right."""

    def __init__(self, text: str, status: HTTPStatus = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(text)
        self.status = status


def answer(value: object, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """`value` as JSON."""
    return web.Response(
        status=status, body=msgspec.json.encode(value), content_type="application/json"
    )


def explained(right: str, right_paths: str) -> Middleware:
    """Answers every fault as JSON; `right` and `right_paths` say what is there."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except Wrong as wrong:
            return answer({"error": str(wrong)}, wrong.status)
        except TextError as wrong:
            return answer({"error": str(wrong)}, HTTPStatus.BAD_REQUEST)
        except ScriptError as wrong:
            return answer({"error": f"{wrong}; {RIGHT_SCRIPT}"}, HTTPStatus.BAD_REQUEST)
        except web.HTTPRequestEntityTooLarge:
            error = f"the body is longer than {MAX_REQUEST} octets; {right}"
            return answer({"error": error}, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed) as error:
            what = f"nothing answers {request.method} {request.path}; {right_paths}"
            return answer({"error": what}, HTTPStatus(error.status))

    return middleware
