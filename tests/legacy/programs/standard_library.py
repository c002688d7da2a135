"""What such programs used of the rest of the library."""

import base64
import collections
import inspect
import os
import threading
import time
from collections import Mapping, OrderedDict
from fractions import gcd


def function(a, b=2, *args, **kwargs):
    pass


class Headers(Mapping):
    def __init__(self, items):
        self.items_ = dict(items)

    def __getitem__(self, key):
        return self.items_[key]

    def __iter__(self):
        return iter(self.items_)

    def __len__(self):
        return len(self.items_)


start = time.clock()
print(isinstance(Headers({"a": 1}), Mapping), Headers({"a": 1})["a"])
print(isinstance(print, collections.Callable), isinstance(OrderedDict(), collections.MutableMapping))
spec = inspect.getargspec(function)
print(spec.args, spec.varargs, spec.keywords, spec.defaults)
print(inspect.formatargspec(*spec))
print(threading.currentThread().getName(), threading.currentThread().is_alive())
print(gcd(12, 18), base64.encodestring(b"abc"), base64.decodestring(b"YWJj"))
print(os.errno.EEXIST > 0, time.clock() >= start)
