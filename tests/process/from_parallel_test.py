"""docs/from-parallel.md beside GNU parallel itself and `weir run` itself: no option is missing in it, and
what it says of each is so."""
import gzip
import os
import re
import shutil

from support import Case, main

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MANUAL = "/usr/share/man/man1/parallel.1.gz"
#: In the program and not in its manual: for its own use, or no longer offered by it either.
INTERNAL = {"-D", "--debug", "--bug", "--_test", "--_pipe-means-argfiles", "--linkinputsource"}
RETIRED = {"-g", "-B", "-H", "-T", "-U", "-W", "-Y", "--ctrl-c", "--no-ctrl-c"}
#: Accepted and without an effect, for scripts' sake.
SILENCED = {"--will-cite", "--nn", "--nonotice", "--no-notice"}


def rows():
    """Every option of the page: name -> (what, text)."""
    found = {}
    with open(os.path.join(ROOT, "docs", "from-parallel.md"), encoding="utf-8") as page:
        for line in page:
            row = re.match(r"\| (`.*`) \| (same|different|not offered) \| (.*) \|$", line)
            if row:
                for name in re.findall(r"`([^`]+)`", row.group(1)):
                    assert name not in found, name + " has two rows"
                    found[name] = row.group(2), row.group(3).replace("\\|", "|")
    return found


def plain(name):
    """Long options are spelled with and without the dashes between words."""
    return "--" + name[2:].replace("-", "") if name.startswith("--") else name


def in_program():
    """Every spelling of every option that the program parses, from its own table of them."""
    with open(shutil.which("parallel"), encoding="utf-8", errors="replace") as file:
        table = re.search(r"sub options_completion_hash\(\) \{(.*?)\n\}", file.read(), re.S).group(1)
    table = re.sub(r"(?m)^#.*", "", table)
    options = []
    # An option's text may be several strings, joined by dots.
    for entry in re.split(r"=>\s*[\\$@%\w:]+,?", re.sub(r"[\"']\s*\.\s*[\"']", "", table)):
        text = re.search(r"[\"']([^\"']+)", entry)
        if text:
            names = re.match(r"[\w|-]+", text.group(1)).group(0)
            options.append(["-" + n if len(n) == 1 else "--" + n for n in names.split("|") if n])
    return options


def in_manual():
    """Every option that has a paragraph of its own in the manual."""
    with gzip.open(MANUAL, "rt", encoding="utf-8") as file:
        text = file.read()
    section = re.search(r'\n\.SH "?OPTIONS"?\n(.*?)\n\.SH ', text, re.S).group(1)
    heads = re.findall(r'^\.IP "\\fB([^"]*)', section.replace("\\-", "-"), re.M)
    return {re.match(r"-{1,2}[\w-]+", head).group(0) for head in heads if head.startswith("-")}


class Page(Case):
    def test_every_option_of_the_program_is_on_the_page(self):
        known = {plain(name) for name in rows()}
        options = in_program()
        self.assertGreater(len(options), 150)
        for names in options:
            if not set(names) & (INTERNAL | RETIRED | SILENCED):
                self.assertTrue(known & {plain(n) for n in names}, "none of %s is on the page" % names)

    def test_every_option_of_the_manual_is_on_the_page(self):
        if not os.path.exists(MANUAL):
            self.skipTest("%s was not installed: the program's own table has to do" % MANUAL)
        options = in_manual()
        self.assertGreater(len(options), 190)
        known = {plain(name) for name in rows()}
        self.assertEqual([name for name in sorted(options) if plain(name) not in known], [])

    def test_the_page_has_no_option_that_parallel_has_not(self):
        known = {plain(name) for names in in_program() for name in names}
        if os.path.exists(MANUAL):
            known |= {plain(name) for name in in_manual()}
        self.assertEqual([name for name in rows() if name.startswith("-")
                          and plain(name) not in known | {"--shebangwrap", "--hashbang"}], [])


class Verb(Case):
    def test_what_the_page_calls_same_or_different_is_offered(self):
        shown = self.weir("run", "--help-all")
        self.ends(shown, 0)
        offered = set(re.findall(r"(?<![\w-])--?[A-Za-z0-9][\w-]*", shown.stdout().decode()))
        missing = [name for name, (what, _) in rows().items()
                   if what != "not offered" and name.startswith("-") and name not in offered]
        self.assertEqual(missing, [])

    def test_what_the_page_does_not_offer_is_refused_with_its_words(self):
        for name, (what, text) in rows().items():
            if what == "not offered" and name.startswith("-"):
                with self.subTest(option=name):
                    node = self.weir("run", name, "true", ":::", "a")
                    self.ends(node, 255)
                    said = " ".join(node.stderr().split())
                    self.assertIn(name.lstrip("-"), said)
                    self.assertIn(text, said)
                    self.assertEqual(node.stdout(), b"")

    def test_parallels_other_spellings_of_what_is_offered_name_the_one_that_is(self):
        page = {plain(name): name for name, (what, _) in rows().items() if what != "not offered"}
        shown = self.weir("run", "--help-all")
        self.ends(shown, 0)
        offered = set(re.findall(r"(?<![\w-])--?[A-Za-z0-9][\w-]*", shown.stdout().decode()))
        for names in in_program():
            if any(plain(name) in page for name in names):
                for name in set(names) - offered - SILENCED:
                    with self.subTest(option=name):
                        node = self.weir("run", name, "true", ":::", "a")
                        self.ends(node, 255)
                        self.assertSays(node, name + r"( is not offered)?: use -")
                        self.assertIn(re.search(r": use (\S+)", node.stderr()).group(1), names)

    def test_perl_in_a_replacement_string_is_refused(self):
        node = self.weir("run", "echo", "{= s/a/b/ =}", ":::", "a")
        self.ends(node, 255)
        self.assertSays(node, "[Pp]erl")


if __name__ == "__main__":
    main()
