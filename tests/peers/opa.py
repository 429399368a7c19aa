# Evaluates Rego with Open Policy Agent itself: the shared library of opa-golib-python-bindings, of which only the library is used.
#
# In, as one JSON list on standard input: { modules: { name: text }, data: JSON, queries: [path below data], inputs: [JSON] } for each
# bundle. Out: a list for each bundle, of a list for each input, of { value }, { error } or {} for each query. Where the policies do not
# load, every answer is that error. A builtin that fails is an error. With `--lines`, a list and an answer a line until there are no more.
import concurrent.futures
import ctypes
import json
import pathlib
import sys

LIBRARY = ctypes.CDLL(str(pathlib.Path(__file__).parent / "python_modules/opa_bindings/libopabridge.so"))
LIBRARY.OpaNew.restype = ctypes.c_uint64
LIBRARY.OpaDestroy.argtypes = [ctypes.c_uint64]
LIBRARY.OpaFreeString.argtypes = [ctypes.c_void_p]


def function(name, *arguments):
    found = getattr(LIBRARY, name)
    found.argtypes = [ctypes.c_uint64, *arguments]
    found.restype = ctypes.c_void_p

    def call(*given):
        said = found(*given)
        try:
            return json.loads(ctypes.string_at(said))
        finally:
            LIBRARY.OpaFreeString(said)

    return call


add_policy = function("OpaAddPolicy", ctypes.c_char_p, ctypes.c_char_p)
add_data = function("OpaAddData", ctypes.c_char_p, ctypes.c_char_p)
document = function("OpaEvalDocument", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int)


def answer(opa, query, given):
    said = document(opa, query.encode(), given.encode(), 0, 0)
    if said.get("error"):
        return {"error": said["error"].get("message", "")}
    rows = said.get("result") or []
    return {"value": row["expressions"][0]["value"] for row in rows if row.get("expressions")}


def answers(bundle):
    opa = LIBRARY.OpaNew()
    try:
        loaded = [add_data(opa, b"", bundle["data"].encode())]
        loaded += [add_policy(opa, name.encode(), text.encode()) for name, text in bundle["modules"].items()]
        failed = [{"error": one["error"].get("message", "")} for one in loaded if one.get("error")]
        return [[failed[0] if failed else answer(opa, query, given) for query in bundle["queries"]] for given in bundle["inputs"]]
    finally:
        LIBRARY.OpaDestroy(opa)


# A call of the library lets others run.
with concurrent.futures.ThreadPoolExecutor(max_workers=4) as pool:
    for question in sys.stdin if "--lines" in sys.argv else [sys.stdin.read()]:
        print(json.dumps(list(pool.map(answers, json.loads(question)))), flush=True)
