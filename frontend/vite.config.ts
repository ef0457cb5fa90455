import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

// Everything is a file of its own: the page's policy allows no script, style or font inside the HTML.
export default defineConfig({
  plugins: [vue()],
  build: {
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { port: 5173, strictPort: true },
})
