"""moto's own server, for as long as whoever started it keeps its standard input open.

serve.py ADDRESS PORT
"""

import os
import sys
import threading

from moto import server


def leave_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


threading.Thread(target=leave_with_parent, daemon=True).start()
server.main(["-H", sys.argv[1], "-p", sys.argv[2]])
