"""What stations and people on call look at: the last scans, and a day of minutes; pure, and bounded in memory.

An andon is the board over a production line that shows how each station is.
"""
