# Evaluates Rego policies with an interpreter that shares no code with Standin's: rego-cpp.
#
# In, as one JSON object on standard input: { modules: { name: text }, data, queries: [query], inputs: [document] }. Out: for every input an
# object of those queries that have a value, or { error }. Exits 1 where the policies do not load.
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "python_modules"))

from regopy import Interpreter  # noqa: E402

question = json.load(sys.stdin)
interpreter = Interpreter()
interpreter.strict_built_in_errors = True
for name, text in question["modules"].items():
    interpreter.add_module(name, text)
interpreter.add_data(question["data"])


def values(document):
    interpreter.set_input(document)
    answers = {}
    for query in question["queries"]:
        output = interpreter.query(query)
        if not output.ok():
            return {"error": str(output)}
        answers.update({query: result[0] for result in output.results if result.expressions})
    return answers


json.dump([values(document) for document in question["inputs"]], sys.stdout)
