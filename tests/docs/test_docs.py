"""What README, tutorial and headers tell people to type works as written: commands in a shell of their own, the C
example through an installed library, with pkg-config and with CMake."""
import glob
import os
import re
import socket
import subprocess
import sys
import tempfile
import unittest

from as_typed import BUILD, SOURCE, blocks, shell


def homes_in_memory():
    """Of all brokers of this machine: a line each, process and path."""
    found = []
    for path in glob.glob("/dev/shm/hermes-*/.home"):
        try:
            with open(path) as file:
                found.append(file.read())
        except FileNotFoundError:
            pass  # it has just gone
    return found


class Docs(unittest.TestCase):
    def test_tutorial(self):
        with tempfile.TemporaryDirectory() as home:
            output = shell(self, "\n".join(blocks("docs/tutorial/first-steps.md")), home)
        self.assertNotIn(home, "".join(homes_in_memory()))
        for expected in ("hello\nworld\n", '"sequence":2', '"payload":"world"', "messages     2000", "2 messages, 0 damaged"):
            self.assertIn(expected, output)

    def test_groups(self):
        commands = "\n".join(blocks("docs/how-to/groups.md"))
        with tempfile.TemporaryDirectory() as home:
            start = f"""export HERMES_HOME={home} PATH={BUILD}/bin:$PATH
                hermesd > $HERMES_HOME/ready & broker=$!
                until grep -q serving $HERMES_HOME/ready; do kill -0 $broker; done\n"""
            output = shell(self, start + commands + "\nkill $broker; wait $broker\n", home)
        for expected in ("position     12800, behind message 100", "behind       900 messages", "500 ....",
                         "11 ....", "20000\n"):
            self.assertIn(expected, output)

    def test_security(self):
        """The first two blocks, on a port of our own."""
        with socket.socket() as free:  # bound, never listened on: a broker may have it, and nobody else
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", 0))
            make, use = (block.replace("7000", str(free.getsockname()[1])) for block in
                         blocks("docs/how-to/security.md", "sh")[:2])
            make = make.replace("hermesd &", "hermesd > $HERMES_HOME/ready & broker=$!\n"
                                "until grep -q serving $HERMES_HOME/ready; do kill -0 $broker; done")
            with tempfile.TemporaryDirectory() as home:
                output = shell(self, f"export HERMES_HOME={home} PATH={BUILD}/bin:$PATH\n{make}\n{use}\n"
                               "kill $broker; wait $broker\n", home)
        self.assertTrue(output.endswith("1\nhello\n"), output)

    def test_readme(self):
        commands = next(b for b in blocks("README.md") if "HERMES_HOME" in b)
        with tempfile.TemporaryDirectory() as home:
            output = shell(self, commands + "\nkill %1; wait\n", home)
        self.assertTrue(output.endswith("1\nhello\n"), output)

    def test_readme_in_c(self):
        code = blocks("README.md", "c")[0]
        head, body = code.split("\n\n", 1)
        with tempfile.TemporaryDirectory() as work:
            prefix = os.path.join(work, "prefix")
            subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
            with open(os.path.join(work, "first.c"), "w") as file:
                file.write(head + "\nint main(void)\n{\n" + body + "return 0;\n}\n")
            environment = dict(os.environ, PKG_CONFIG_PATH=prefix + "/lib/pkgconfig", HERMES_HOME=work, PREFIX=prefix, SOURCE=SOURCE,
                               LD_LIBRARY_PATH=prefix + "/lib", PATH=prefix + "/bin:" + os.environ["PATH"])
            # Each public header by itself, in C and C++, all warnings; then the program, shared and static.
            script = """set -e
                for header in "$PREFIX"/include/hermes/*.h; do
                    for compiler in "gcc -std=c11 -x c" "gcc -std=c17 -x c" "g++ -std=c++17 -x c++" "g++ -std=c++20 -x c++"; do
                        echo "#include <hermes/$(basename "$header")>" | $compiler -Wall -Wextra -Wpedantic -Wshadow -Wconversion \
                            -Werror -fsyntax-only - $(pkg-config --cflags hermes)
                    done
                done
                for standard in 17 20; do
                    g++ -x c++ -std=c++$standard -Wall -Wextra -Wpedantic -Werror first.c -o first-c++$standard \
                        $(pkg-config --cflags --libs hermes)
                done
                for example in publish subscribe; do
                    gcc -std=c11 -Wall -Wextra -Wpedantic -Werror "$SOURCE/examples/c/$example.c" -o $example \
                        $(pkg-config --cflags --libs hermes)
                done
                for example in mirror_send mirror_receive; do
                    gcc -std=c11 -Wall -Wextra -Wpedantic -Werror "$SOURCE/examples/c/$example.c" -o $example \
                        $(pkg-config --cflags --libs hermes-mirror)
                done
                gcc -Wall -Wextra -Werror first.c -o first $(pkg-config --cflags --libs hermes)
                gcc -Wall -Wextra -Werror first.c -o first-static $(pkg-config --cflags hermes) "$PREFIX/lib/libhermes.a" \
                    $(pkg-config --static --libs-only-l hermes | sed s/-lhermes//)
                gcc -static first.c -o first-all-static $(pkg-config --static --cflags --libs hermes) 2> notes || { cat notes >&2; exit 1; }
                hermesd > ready & broker=$!
                until grep -q serving ready; do kill -0 $broker; done
                hermes topic create greetings
                ./first
                ./first-static
                ./first-all-static
                ./first-c++17
                ./first-c++20
                ./publish
                hermes sub greetings --from first --count 6
                ./subscribe > seen & subscriber=$!
                until [ "$(grep -c hello seen)" = 6 ]; do kill -0 $subscriber; done
                kill $subscriber
                kill $broker
                wait $broker
                seq 1 6 | ./mirror_send "$PWD/log" udp://127.0.0.1:0 > sent & sender=$!
                until grep -q port sent; do kill -0 $sender; done
                ./mirror_receive "udp://127.0.0.1:$(sed 's/port //' sent)" > mirrored
                wait $sender
                seq 1 6 | sed 's/.*/& &/' | cmp - mirrored
                """
            out = subprocess.run(["bash"], input=script.encode(), env=environment, cwd=work, stdout=subprocess.PIPE, check=True,
                                 timeout=120).stdout
            self.assertEqual(out, b"hello\n" * 6)

    def test_both_libraries_link_from_a_project_of_ones_own(self):
        """By find_package(), in C and in C++, as a prefix that nobody told the linker of; the static one is needed no more."""
        program = """#include <hermes/hermes.h>
            #include <stdio.h>
            int main(void)
            {
                hermes_header_t header;
                hermes_client_t *client;
                int rc = hermes_message_encode(&header, "x", 1, 1, 1); // needs zlib
                return rc == 0 && hermes_connect("unix:/nowhere", &client) == HERMES_EDISCONNECTED ? 0 : 1;
            }
            """
        project = """cmake_minimum_required(VERSION 3.25)
            project(outside C CXX)
            find_package(Hermes 0.1 REQUIRED)
            add_compile_options(-Wall -Wextra -Wpedantic -Werror)
            foreach(kind shared static)
              add_executable(mirror_${kind} mirror.c)
              target_link_libraries(mirror_${kind} Hermes::hermes_mirror_${kind})
              foreach(language c cxx)
                add_executable(${language}_${kind} outside.${language})
                target_link_libraries(${language}_${kind} Hermes::hermes_${kind})
              endforeach()
            endforeach()
            """
        with tempfile.TemporaryDirectory() as work:
            prefix = os.path.join(work, "prefix")
            subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, stdout=subprocess.DEVNULL)
            mirror = '#include <hermes/mirror.h>\nint main(void) { hermes_mirror_receiver_t *receiver; ' \
                'return hermes_mirror_receiver_open(0, &receiver) == HERMES_EINVALID ? 0 : 1; }\n'
            for name, text in (("outside.c", program), ("outside.cxx", program), ("mirror.c", mirror), ("CMakeLists.txt", project)):
                with open(os.path.join(work, name), "w") as file:
                    file.write(text)
            subprocess.run(f"cmake -S . -B build -G Ninja -DCMAKE_PREFIX_PATH={prefix} >notes && cmake --build build >>notes || "
                           "{ cat notes; exit 1; }", shell=True, cwd=work, check=True)
            for name in ("c_shared", "cxx_shared", "mirror_shared"):
                subprocess.run([os.path.join(work, "build", name)], check=True)
            os.rename(prefix, prefix + "-elsewhere")
            for name in ("c_static", "cxx_static", "mirror_static"):
                subprocess.run([os.path.join(work, "build", name)], check=True)

    def test_manual_of_the_typed_ring(self):
        """Its example, in C and in C++, with all warnings."""
        with open(os.path.join(SOURCE, "include/hermes/spsc_typed.h")) as file:
            manual = file.read().split("*/")[0]
        block = re.search(r"(?: \*     .*\n| \*\n){2,}", manual)[0]
        define, body = "\n".join(line[7:] for line in block.splitlines()).strip().split("\n\n", 1)
        body = body.replace("pop(&consumer, &quote)) ...", "pop(&consumer, &quote)) return quote.bid == 7 ? 0 : 1;")
        program = ("#include <hermes/spsc_typed.h>\ntypedef struct { uint64_t bid, ask; } quote_t;\n" + define +
                   "\nHERMES_SPSC_DEFINE(pointers, const quote_t *, 8);" +
                   "\nint main(void)\n{\nquote_t quote = {7, 8};\n" + body + "\nreturn 2;\n}\n")
        for compiler in (["gcc", "-std=c11", "-x", "c"], ["g++", "-std=c++17", "-x", "c++"]):
            with tempfile.TemporaryDirectory() as work:
                subprocess.run([*compiler, "-", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror",
                                "-I", os.path.join(SOURCE, "include"), "-o", os.path.join(work, "typed")],
                               input=program.encode(), check=True)
                subprocess.run([os.path.join(work, "typed")], check=True)

    def test_library_shows_nothing_but_its_own(self):
        for short, prefix, least in ("libhermes", "hermes_", 50), ("libhermes-mirror", "hermes_mirror_", 15):
            library = os.path.realpath(os.path.join(BUILD, f"lib/{short}.so"))
            dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
            self.assertIn(f"soname: [{short}.so.0]", dynamic)
            shown = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
            names = [line.split()[2] for line in shown.splitlines()]
            self.assertGreater(len(names), least)
            self.assertEqual([name for name in names if not name.startswith(prefix)], [])

    def test_library_needs_no_openssl(self):
        """It is loaded for the first tls:// URL, and nothing of it is called by its name."""
        library = os.path.join(BUILD, "lib/libhermes.so")
        dynamic = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
        self.assertNotRegex(dynamic, "libssl|libcrypto")
        wanted = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True).stdout
        self.assertNotRegex(wanted, r"\b(SSL|X509|BIO|ERR|EVP|ASN1|CRYPTO|OPENSSL)_")

    def test_links_lead_somewhere(self):
        for directory, _, names in os.walk(SOURCE):
            if re.search(r"/(build|\.git|\.cache)(/|$)", directory[len(SOURCE):]):
                continue
            for name in names:
                if not name.endswith(".md"):
                    continue
                with open(os.path.join(directory, name)) as file:
                    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", file.read()):
                        if "://" not in target:
                            self.assertTrue(os.path.exists(os.path.join(directory, target)), f"{name}: {target}")

    def test_every_command_has_help(self):
        program = os.path.join(BUILD, "bin/hermes")
        listed = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
        commands = re.findall(r"^  (\w+) ", listed, re.M)
        self.assertGreater(len(commands), 10)
        with open(os.path.join(SOURCE, "README.md")) as file:
            row = next(line for line in file if line.startswith("| `hermes` |"))
        for command in (c for c in commands if c not in ("version", "help")):
            text = subprocess.run([program, command, "--help"], capture_output=True, text=True, check=True).stdout
            self.assertIn("Usage:", text)
            self.assertIn("Exit codes:", text, command)
            self.assertIn(f"`{command}`", row)


unittest.main(argv=[sys.argv[0], "-v", *sys.argv[1:]])
