"""What people are told to type, and a shell to type it into."""
import os
import re
import subprocess
import tempfile

SOURCE, BUILD = os.environ["HERMES_SOURCE"], os.environ["HERMES_BUILD"]


def blocks(path, fence=None):
    """Indented blocks, or those fenced as given."""
    with open(os.path.join(SOURCE, path)) as file:
        text = file.read()
    if fence:
        return re.findall(rf"^```{fence}\n(.*?)^```", text, re.M | re.S)
    return ["\n".join(line[4:] for line in block.splitlines()) for block in
            re.findall(r"(?<=\n\n)((?:    .*\n)+)", text)]


def shell(case, commands, home):
    """As typed: job control, and no end at the first error; the builds were made before."""
    commands = commands.replace("./run build", "true").replace("./run actors", "true")
    commands = commands.replace("$PWD/build/release/bin", BUILD + "/bin").replace("$(mktemp -d)", home)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # the broker in the background has them too
        subprocess.run(["bash", "-m"], input=commands.encode(), stdout=out, stderr=err, timeout=120, cwd=SOURCE)
        out.seek(0)
        err.seek(0)
        output, errors = out.read().decode(), err.read().decode()
    for word in ("hermes:", "not found", "Traceback", "panicked"):
        case.assertNotIn(word, errors)
    return output
