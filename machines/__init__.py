"""Two machines to copy from: ``order``, a business process, and ``podcast``, real work on real files."""
