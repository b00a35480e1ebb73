"""weir run, run to its end: what its tests have in common."""
from support import Case


class Runs(Case):
    def run_it(self, *arguments, code=0, **how):
        """Runs it to its end, and returns what it wrote to standard output."""
        node = self.weir("run", *arguments, **how)
        self.ends(node, code)
        self.said = node.stderr()
        return node.stdout().decode()

    def joblog(self):
        """By number: [host, start, runtime, sent, received, exit value, signal, command]."""
        head, *rows = self.read("log").decode().splitlines()
        self.assertEqual(head.split("\t"), ["Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive",
                                            "Exitval", "Signal", "Command"])
        return {int(row.split("\t")[0]): row.split("\t")[1:] for row in rows}
