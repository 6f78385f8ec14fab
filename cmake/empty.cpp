// libgraft is made of the objects of core/; a library needs a source of its own.
