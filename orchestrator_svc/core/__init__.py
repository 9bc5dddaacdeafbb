"""The rules of the mesh, without any I/O: no clock, no network, no files, no tasks, no generated code.

Reading order: catalog -> plan -> validate -> schedule -> outcome -> verdict. A test holds the list of what may be
imported here.
"""
