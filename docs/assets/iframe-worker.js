// Search opened from file://: browsers refuse workers there, so the search worker runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      const page = this.frame.contentWindow.document
      page.open()
      page.write(
        "<script>postMessage = data => parent.postMessage(data, '*')</scr" + "ipt>" +
        `<script src="${url}"></scr` + "ipt>"
      )
      this.frame.addEventListener("load", () => {
        for (const data of this.waiting) this.frame.contentWindow.postMessage(data, "*")
        this.waiting = null
      })
      page.close()
      window.addEventListener("message", event => {
        if (event.source !== this.frame.contentWindow) return
        const message = new MessageEvent("message", { data: event.data })
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      })
    }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.frame.contentWindow.postMessage(data, "*")
    }
    terminate() { this.frame.remove() }
  }
}
