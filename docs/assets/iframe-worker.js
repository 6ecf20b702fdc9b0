// Search opened from file://: browsers refuse workers there, so the search worker runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = [] // messages until the frame has loaded the worker's script
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.appendChild(this.frame)
      const page = this.frame.contentDocument
      page.open()
      page.write(
        "<script>postMessage = data => parent.postMessage(data, '*')</scr" + "ipt>" +
        `<script src="${url}"></scr` + "ipt>"
      )
      this.frame.addEventListener("load", () => {
        const messages = this.waiting || []
        this.waiting = null
        messages.forEach(data => this.deliver(data))
      })
      page.close()
      window.addEventListener("message", event => {
        if (event.source !== this.frame.contentWindow) return
        const message = new MessageEvent("message", { data: event.data })
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      })
    }
    deliver(data) { this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })) }
    postMessage(data) {
      if (this.waiting) this.waiting.push(data)
      else this.deliver(data)
    }
    terminate() { this.frame.remove() }
  }
}
